# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# shellcheck disable=SC2154 # arch is set by who sources this
# Debian's packages without touching the machine: sourced by fetch-kernel and fetch-root.
#
# apt does the downloading and the checking of signatures, under a configuration of its own in $STATE, for the
# architecture $arch. Who sources this sets ME, and STATE and arch before write_apt_conf.

readonly SKIP=77	# what test runners know as "can't be tested here"
readonly KEYRINGS=(/usr/share/keyrings/debian-archive-keyring.{gpg,pgp})

fail() { echo "$ME: $2" >&2; exit "$1"; }
skip() { fail $SKIP "$1"; }

# apt with lists, cache and sources of our own; everything else (proxies, certificates) is the
# machine's.
private_apt() { "$1" -c "$STATE/apt.conf" "${@:2}"; }

# In $STATE, for the architecture $arch; nothing counts as installed.
write_apt_conf()
{
	mkdir -p "$STATE/lists/partial" "$STATE/archives/partial"
	: >"$STATE/status"
	cat >"$STATE/apt.conf" <<-EOF
	Dir::State::lists "$STATE/lists";
	Dir::Cache "$STATE";
	Dir::Cache::archives "$STATE/archives";
	Dir::State::status "$STATE/status";
	Dir::Etc::SourceList "$STATE/debian.sources";
	Dir::Etc::SourceParts "/dev/null";
	APT::Architecture "$arch";
	APT::Architectures { "$arch"; };
	// The hooks of the machine's configuration clean up after its own updates, not after ours.
	#clear APT::Update::Pre-Invoke;
	#clear APT::Update::Post-Invoke;
	#clear APT::Update::Post-Invoke-Success;
	// The cache is below a home directory, where apt's download user can't go.
	APT::Sandbox::User "root";
	Acquire::Languages "none";
	Acquire::Retries "2";
	Acquire::http::Timeout "30";
	Acquire::https::Timeout "30";
	EOF
}

# mirror_of LABEL: the machine's own mirror of Debian ("Debian" or "Debian-Security"), by what its
# Release files say.
mirror_of()
{
	# shellcheck disable=SC2016 # apt expands these
	apt-get "${@:2}" indextargets --format '$(LABEL) $(REPO_URI)' 'Created-By: Packages' |
		awk -v label="$1" '$1 == label && !found { print $2; found = 1 }'
}

find_mirrors()
{
	local lists=()

	mirror=${HOLDUP_DEBIAN_MIRROR:-} security=${HOLDUP_DEBIAN_SECURITY_MIRROR:-}
	[ -z "$mirror" ] || return 0
	mirror=$(mirror_of Debian)
	if [ -z "$mirror" ]; then	# no package lists, as in a fresh container: read them, but not there
		mkdir -p "$STATE/machine-lists/partial"
		lists=(-o "Dir::State::lists=$STATE/machine-lists" -o APT::Sandbox::User=root
		       -o Acquire::Languages=none)
		apt-get "${lists[@]}" update >"$STATE/machine-update.log" 2>&1 || :
		mirror=$(mirror_of Debian "${lists[@]}")
	fi
	[ -n "$mirror" ] ||
		skip "no Debian mirror among apt's sources, or no network: HOLDUP_DEBIAN_MIRROR can name one"
	security=${security:-$(mirror_of Debian-Security "${lists[@]}")}
}

# write_sources SUITE…
write_sources()
{
	local keyring='' k suite uri

	for k in "${KEYRINGS[@]}"; do
		[ ! -r "$k" ] || keyring=$k
	done
	[ -n "$keyring" ] || skip "no keyring to check signatures with: install debian-archive-keyring"
	: >"$STATE/debian.sources"
	for suite in "$@"; do
		uri=$mirror
		[[ $suite != *-security ]] || uri=$security
		[ -n "$uri" ] || continue
		printf '%s\n' "Types: deb" "URIs: $uri" "Suites: $suite" "Components: main" \
			"Targets: Packages" "Signed-By: $keyring" "" >>"$STATE/debian.sources"
	done
}
