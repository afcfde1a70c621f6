// Package postgres runs a private PostgreSQL server for one machine: it finds (or fetches) the programs, makes the
// data directory, keeps the server on the loopback interface behind a random password, and takes it down with the
// process that started it, however that process ends.
//
// Below Config.Dir:
//
//	lock            held while a Server runs
//	data/           PostgreSQL's own directory
//	password        the superuser's password, readable by its owner only
//	port            the port of the last run, tried first in the next
//	postgres.log    the server's log; postgres.log.1 is the one before
//	programs/       PostgreSQL's programs, where they had to be fetched
package postgres
