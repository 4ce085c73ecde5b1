// SPDX-License-Identifier: GPL-2.0-only

// sql-pool: healthy. database/sql's opener waits for requests; connections are idle.
package main

import (
	"context"
	"database/sql"
	"database/sql/driver"
	_ "embed"
	"errors"
	"time"

	"holdup.test/go/truth"
)

//go:embed main.go
var source string

type shelf struct{}

func (shelf) Open(name string) (driver.Conn, error) { return conn{}, nil }

type conn struct{}

func (conn) Prepare(query string) (driver.Stmt, error) { return nil, errors.New("nothing to ask") }
func (conn) Close() error                              { return nil }
func (conn) Begin() (driver.Tx, error)                 { return nil, errors.New("nothing to change") }
func (conn) Ping(ctx context.Context) error            { return nil }

//go:noinline
func open() *sql.DB {
	db, err := sql.Open("shelf", "")
	if err != nil {
		panic(err)
	}
	db.SetMaxIdleConns(4)
	db.SetConnMaxIdleTime(time.Hour)
	if err := db.PingContext(context.Background()); err != nil {
		panic(err)
	}
	return db
}

func main() {
	sql.Register("shelf", shelf{})
	open()
	truth.Ready(source, "healthy")
	truth.Serve()
}
