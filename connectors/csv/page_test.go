package csv

import (
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/stretchr/testify/require"
)

func readPage(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile("../../docs/csv.md")
	require.NoError(t, err)
	return string(b)
}

// The page names every key and every field of a profile, and every setting that it
// explains is one.
func TestPageNamesEverything(t *testing.T) {
	text := readPage(t)
	for _, of := range []any{profileText{}, formText{}, layoutText{}, recordText{}, columnText{}} {
		for i := range reflect.TypeOf(of).NumField() {
			key, _, _ := strings.Cut(reflect.TypeOf(of).Field(i).Tag.Get("yaml"), ",")
			if key != "" && key != "type" && key != "of" {
				require.Contains(t, text, "`"+key+"`", key)
			}
		}
	}
	_, tables, _ := strings.Cut(text, "| Kind | Fields")
	for kind, f := range fields {
		require.Contains(t, tables, "`"+string(kind)+"`")
		for _, name := range append(f.head, f.line...) {
			name = strings.TrimPrefix(name, "ship_to")
			require.True(t, strings.Contains(tables, name) || strings.Contains(tables, "ship_to"+name), "%s of %s", name, kind)
		}
	}
	for _, name := range profileNames() {
		require.Contains(t, text, "`"+name+"`")
	}
}

func TestProfileOnThePage(t *testing.T) {
	_, text, found := strings.Cut(readPage(t), "```yaml\nsettings:\n  profile: |\n")
	require.True(t, found)
	text, _, _ = strings.Cut(text, "```")
	var settings struct{ Settings struct{ Profile string } }
	require.NoError(t, yaml.Unmarshal([]byte("settings:\n  profile: |\n"+text), &settings))
	require.NoError(t, checkWarehouseProfile(settings.Settings.Profile))
	f := newFolder(t)
	f.write("out/versand_1.csv", "Auftrag;Sendungsnummer;Datum;Artikel;Menge\r\nSO-1;00340;08.03.2026;T\xe4sse;2\r\n")
	updates, unread := (&depot{t: t, source: f.warehouse(map[string]string{"profile": settings.Settings.Profile})}).pull()
	require.Empty(t, unread)
	require.Equal(t, "Tässe", string(updates[0].Packages[0].Items[0].Code))
	require.Equal(t, "2026-03-08", updates[0].Packages[0].ShippedAt.Format("2006-01-02"))
}
