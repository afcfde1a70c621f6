package postgres

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
)

// account is the operating-system user that the server runs as.
type account struct {
	name     string
	uid, gid uint32
	other    bool // not the user this process runs as
}

// accountFor picks the user: ourselves, unless we are root, as whom PostgreSQL refuses to run. Then it is whoever
// owns the data already, else postgres, else nobody.
func accountFor(data string) (account, error) {
	self := account{uid: uint32(os.Geteuid()), gid: uint32(os.Getegid())}
	owner, exists, err := ownerOf(data)
	if err != nil {
		return account{}, err
	}
	if self.uid != 0 {
		if exists && owner != self.uid {
			return account{}, fmt.Errorf("%s belongs to user %s: run as that user, or as root", data, userName(owner))
		}
		return self, nil
	}
	if exists && owner != 0 {
		return lookUp(user.LookupId(strconv.FormatUint(uint64(owner), 10)))
	}
	for _, name := range []string{"postgres", "nobody"} {
		found, err := lookUp(user.Lookup(name))
		if err == nil {
			return found, nil
		}
	}
	return account{}, errors.New("PostgreSQL refuses to run as root, and there is neither a user postgres nor nobody: " +
		"run as an ordinary user")
}

func lookUp(u *user.User, err error) (account, error) {
	if err != nil {
		return account{}, err
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return account{}, fmt.Errorf("user %s: %w", u.Username, err)
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil {
		return account{}, fmt.Errorf("user %s: %w", u.Username, err)
	}
	return account{name: u.Username, uid: uint32(uid), gid: uint32(gid), other: true}, nil
}

func ownerOf(path string) (uid uint32, exists bool, err error) {
	info, err := os.Stat(path)
	if errors.Is(err, os.ErrNotExist) {
		return 0, false, nil
	}
	if err != nil {
		return 0, false, err
	}
	return info.Sys().(*syscall.Stat_t).Uid, true, nil
}

func userName(uid uint32) string {
	id := strconv.FormatUint(uint64(uid), 10)
	if u, err := user.LookupId(id); err == nil {
		return u.Username
	}
	return id
}

// own gives a file of ours to the account.
func (a account) own(path string) error {
	if !a.other {
		return nil
	}
	return os.Chown(path, int(a.uid), int(a.gid))
}

// credential is what a child process needs to run as the account; nil means as ourselves.
func (a account) credential() *syscall.Credential {
	if !a.other {
		return nil
	}
	return &syscall.Credential{Uid: a.uid, Gid: a.gid}
}

// reaches tells whether the account can get to dir: all folders on the way, dir included, must let it pass. It reads
// permission bits only; access lists beyond them are left to PostgreSQL to complain about.
func (a account) reaches(dir string) error {
	if !a.other {
		return nil
	}
	dir, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return err
	}
	for {
		info, err := os.Stat(dir)
		if err != nil {
			return err
		}
		if !a.passes(info) {
			return fmt.Errorf("user %s, as whom PostgreSQL runs when started by root, may not enter %s: "+
				"allow it with `chmod o+x %s`, or use a data directory elsewhere", a.name, dir, dir)
		}
		if filepath.Dir(dir) == dir {
			return nil
		}
		dir = filepath.Dir(dir)
	}
}

func (a account) passes(info os.FileInfo) bool {
	stat := info.Sys().(*syscall.Stat_t)
	switch {
	case stat.Uid == a.uid:
		return info.Mode().Perm()&0o100 != 0
	case stat.Gid == a.gid:
		return info.Mode().Perm()&0o010 != 0
	default:
		return info.Mode().Perm()&0o001 != 0
	}
}
