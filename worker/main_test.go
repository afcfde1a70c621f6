package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// A worker that can't work says which setting is wrong and what would be accepted.
func TestBadSettings(t *testing.T) {
	open := filepath.Join(t.TempDir(), "key.json")
	require.NoError(t, os.WriteFile(open, []byte("{}"), 0o644))
	for name, c := range map[string]struct {
		env  map[string]string
		args []string
		code int
		says string
	}{
		"no database":    {map[string]string{}, nil, 2, "DATABASE_URL is not set"},
		"no key file":    {map[string]string{"DATABASE_URL": "postgres://x"}, nil, 2, "ORDERFERRY_KEY_FILE is not set"},
		"bad pauses":     {map[string]string{"DATABASE_URL": "postgres://x", "ORDERFERRY_KEY_FILE": "k", "ORDERFERRY_LOOK_AGAIN": "soon"}, nil, 2, "ORDERFERRY_LOOK_AGAIN"},
		"bad mail":       {map[string]string{"DATABASE_URL": "postgres://x", "ORDERFERRY_KEY_FILE": "k", "ORDERFERRY_SMTP_URL": "mail.test:25", "ORDERFERRY_SMTP_FROM": "a@b.test"}, nil, 2, "ORDERFERRY_SMTP_URL, ORDERFERRY_SMTP_FROM: want smtp://"},
		"mail from none": {map[string]string{"DATABASE_URL": "postgres://x", "ORDERFERRY_KEY_FILE": "k", "ORDERFERRY_SMTP_URL": "smtp://mail.test"}, nil, 2, "go together"},
		"unknown flag":   {map[string]string{}, []string{"--quick"}, 2, "unknown flag: --quick"},
		"absent key":     {map[string]string{"DATABASE_URL": "postgres://x", "ORDERFERRY_KEY_FILE": filepath.Join(t.TempDir(), "none")}, nil, 1, "key file"},
		"key for others": {map[string]string{"DATABASE_URL": "postgres://x", "ORDERFERRY_KEY_FILE": open}, nil, 1, "chmod 600"},
	} {
		t.Run(name, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			code := run(t.Context(), c.args, func(k string) string { return c.env[k] }, &stdout, &stderr)
			require.Equal(t, c.code, code, stderr.String())
			require.Contains(t, stderr.String(), c.says)
			require.Empty(t, stdout.String())
		})
	}
}
