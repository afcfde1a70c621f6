package store

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/tink"
)

// Keyring seals credentials. Its key lives in a file outside the database, so
// that a copy of the database alone opens nothing.
type Keyring struct{ aead tink.AEAD }

// OpenKeyring reads the key file. It refuses one that others on the machine may read.
func OpenKeyring(path string) (*Keyring, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("key file: %w", err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("key file %s: others may read it; run chmod 600 on it", path)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("key file: %w", err)
	}
	handle, err := insecurecleartextkeyset.Read(keyset.NewJSONReader(bytes.NewReader(b)))
	if err != nil {
		return nil, fmt.Errorf("key file %s: not a Tink keyset: %w", path, err)
	}
	return newKeyring(handle)
}

// EnsureKeyring opens the key file, and makes one first where there is none.
// Losing that file means entering all credentials again.
func EnsureKeyring(path string) (*Keyring, error) {
	if _, err := os.Stat(path); err == nil || !errors.Is(err, fs.ErrNotExist) {
		return OpenKeyring(path)
	}
	handle, err := keyset.NewHandle(aead.AES256GCMKeyTemplate())
	if err != nil {
		return nil, fmt.Errorf("make a key: %w", err)
	}
	var b bytes.Buffer
	if err := insecurecleartextkeyset.Write(handle, keyset.NewJSONWriter(&b)); err != nil {
		return nil, fmt.Errorf("make a key: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("key file: %w", err)
	}
	// Written whole or not at all, and never over a key that another process made meanwhile.
	f, err := os.CreateTemp(filepath.Dir(path), ".key-*")
	if err != nil {
		return nil, fmt.Errorf("key file: %w", err)
	}
	defer os.Remove(f.Name())
	if _, err := f.Write(b.Bytes()); err != nil {
		return nil, fmt.Errorf("key file: %w", err)
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return nil, fmt.Errorf("key file: %w", err)
	}
	if err := os.Link(f.Name(), path); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("key file: %w", err)
	}
	return OpenKeyring(path)
}

func newKeyring(handle *keyset.Handle) (*Keyring, error) {
	a, err := aead.New(handle)
	if err != nil {
		return nil, fmt.Errorf("key file: %w", err)
	}
	return &Keyring{aead: a}, nil
}

// seal encrypts credentials for one connection: sealed text moved to another
// connection's row does not open.
func (k *Keyring) seal(merchant, connection string, credentials map[string]string) ([]byte, error) {
	if k == nil {
		return nil, errors.New("credentials can't be sealed without the key file")
	}
	b, err := json.Marshal(credentials)
	if err != nil {
		return nil, err
	}
	return k.aead.Encrypt(b, []byte(merchant+"/"+connection))
}

func (k *Keyring) open(merchant, connection string, sealed []byte) (map[string]string, error) {
	if k == nil {
		return nil, errors.New("credentials can't be opened without the key file")
	}
	b, err := k.aead.Decrypt(sealed, []byte(merchant+"/"+connection))
	if err != nil {
		return nil, fmt.Errorf("open the credentials of %s/%s: the key file does not fit them", merchant, connection)
	}
	var c map[string]string
	if err := json.Unmarshal(b, &c); err != nil {
		return nil, fmt.Errorf("open the credentials of %s/%s: %w", merchant, connection, err)
	}
	return c, nil
}
