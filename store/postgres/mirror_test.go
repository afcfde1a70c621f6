package postgres

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash/crc32"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestFetchedProgramsRunAServer(t *testing.T) {
	real, err := Find()
	require.NoError(t, err)
	jar := jarOfPrograms(t, real)
	asked := 0
	mirror := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked++
		if strings.HasSuffix(r.URL.Path, ".sha256") {
			sum := sha256.Sum256(jar)
			fmt.Fprint(w, hex.EncodeToString(sum[:]))
			return
		}
		w.Write(jar)
	}))
	t.Cleanup(http.DefaultClient.CloseIdleConnections) // the library's client
	t.Cleanup(mirror.Close)

	cfg := Config{Dir: place(t), Mirror: mirror.URL, Log: slog.New(slog.DiscardHandler)}
	inst, err := fetch(t.Context(), cfg, 0)
	require.NoError(t, err)
	require.Equal(t, 2, asked, "the programs and their checksum")
	again, err := fetch(t.Context(), cfg, 0)
	require.NoError(t, err)
	require.Equal(t, inst, again)
	require.Equal(t, 2, asked, "fetched once")
	left, err := filepath.Glob(filepath.Join(cfg.Dir, "programs", "*"))
	require.NoError(t, err)
	require.Equal(t, []string{filepath.Dir(inst.bin)}, left)

	cfg.Bin = inst.bin
	server, err := Start(t.Context(), cfg)
	require.NoError(t, err)
	require.NoError(t, server.knock(t.Context()))
	require.NoError(t, server.Stop(t.Context()))
}

// jarOfPrograms makes an archive as the mirror has them: a .txz in a zip. Its programs call those in bin.
func jarOfPrograms(t *testing.T, bin string) []byte {
	t.Helper()
	var tarred bytes.Buffer
	archive := tar.NewWriter(&tarred)
	for _, program := range []string{"postgres", "initdb", "pg_ctl"} {
		script := fmt.Sprintf("#!/bin/sh\nexec %s \"$@\"\n", filepath.Join(bin, program))
		require.NoError(t, archive.WriteHeader(&tar.Header{
			Name: "bin/" + program, Typeflag: tar.TypeReg, Mode: 0o755, Size: int64(len(script)),
		}))
		_, err := archive.Write([]byte(script))
		require.NoError(t, err)
	}
	require.NoError(t, archive.Close())

	var zipped bytes.Buffer
	jar := zip.NewWriter(&zipped)
	file, err := jar.Create("postgres.txz")
	require.NoError(t, err)
	_, err = file.Write(xzStored(tarred.Bytes()))
	require.NoError(t, err)
	require.NoError(t, jar.Close())
	return zipped.Bytes()
}

// xzStored wraps data of less than 64 KiB as an .xz file without compressing it, after the format's description at
// https://tukaani.org/xz/xz-file-format.txt: stream header, one block of one stored LZMA2 chunk, index, footer.
func xzStored(data []byte) []byte {
	sealed := func(b []byte) []byte { return binary.LittleEndian.AppendUint32(b, crc32.ChecksumIEEE(b)) }
	padded := func(b []byte) []byte { return append(b, make([]byte, -len(b)&3)...) }
	flags := []byte{0, 1} // the check is a CRC32

	// 12 bytes with its CRC: size in words less one, one filter, LZMA2 with one byte of properties, dictionary of 64 KiB.
	block := sealed([]byte{2, 0, 0x21, 1, 8, 0, 0, 0})
	block = binary.BigEndian.AppendUint16(append(block, 1), uint16(len(data)-1))
	block = append(append(block, data...), 0)
	unpadded := len(block) + 4
	block = binary.LittleEndian.AppendUint32(padded(block), crc32.ChecksumIEEE(data))

	index := binary.AppendUvarint([]byte{0, 1}, uint64(unpadded))
	index = sealed(padded(binary.AppendUvarint(index, uint64(len(data)))))

	footer := append(binary.LittleEndian.AppendUint32(nil, uint32(len(index)/4-1)), flags...)
	footer = append(binary.LittleEndian.AppendUint32(nil, crc32.ChecksumIEEE(footer)), footer...)

	header := binary.LittleEndian.AppendUint32(append([]byte("\xfd7zXZ\x00"), flags...), crc32.ChecksumIEEE(flags))
	return bytes.Join([][]byte{header, block, index, footer, []byte("YZ")}, nil)
}
