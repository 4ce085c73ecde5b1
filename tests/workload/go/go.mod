module holdup.test/go

go 1.19
