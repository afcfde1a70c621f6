package temporal

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strings"

	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	persistencespb "go.temporal.io/server/api/persistence/v1"
	"go.temporal.io/server/common/config"
	"go.temporal.io/server/common/log"
	"go.temporal.io/server/common/metrics"
	"go.temporal.io/server/common/persistence"
	"go.temporal.io/server/common/persistence/serialization"
	persistencesql "go.temporal.io/server/common/persistence/sql"
	"go.temporal.io/server/common/persistence/sql/sqlplugin"
	sqliteplugin "go.temporal.io/server/common/persistence/sql/sqlplugin/sqlite"
	"go.temporal.io/server/common/resolver"
	"go.temporal.io/server/common/searchattribute/sadefs"
	"go.temporal.io/server/schema/sqlite"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
)

// pragmas trade no more than is safe. With a write-ahead log, synchronous=normal leaves the log to the operating system
// to write out between checkpoints: the death of the process loses nothing, that of the machine the last moments, and
// neither harms the file. That is enough here, since what must never be lost is in Postgres, which does wait for the
// disk, and workflows may repeat what they did.
func pragmas() map[string]string {
	return map[string]string{
		"journal_mode":       "wal",
		"synchronous":        "normal",
		"busy_timeout":       "10000",    // milliseconds
		"journal_size_limit": "67108864", // bytes of log kept after a checkpoint
		"cache_size":         "-32768",   // negative: kibibytes
	}
}

// database tells the server about the file. The SQLite plugin uses a single connection, which keeps writers from
// running into each other.
func database(file string) *config.SQL {
	attributes := pragmas()
	attributes["mode"] = "rw"
	return &config.SQL{
		PluginName:        sqliteplugin.PluginName,
		DatabaseName:      (&url.URL{Path: file}).EscapedPath(), // goes into a URI
		ConnectAttributes: attributes,
	}
}

// prepare brings the file to where the server can start on it: tables, namespace, search attributes.
func prepare(ctx context.Context, cfg Config, db *config.SQL) error {
	if err := createTables(ctx, cfg.File); err != nil {
		return fmt.Errorf("create tables: %w", err)
	}
	fresh, err := sqlite.NewNamespaceConfig(clusterName, cfg.Namespace, false, cfg.SearchAttributes)
	if err != nil {
		return fmt.Errorf("namespace %s: %w", cfg.Namespace, err)
	}
	fresh.Detail.Config.Retention = durationpb.New(cfg.Retention)
	if err := sqlite.CreateNamespaces(db, fresh); err != nil {
		return err
	}
	if err := updateNamespace(ctx, cfg, db); err != nil {
		return fmt.Errorf("namespace %s: %w", cfg.Namespace, err)
	}
	return nil
}

// createTables lays out an empty file, in one transaction: a process killed meanwhile leaves an empty file again.
func createTables(ctx context.Context, file string) error {
	// Workflow inputs are nobody else's business. SQLite gives the files beside this one the same mode.
	empty, err := os.OpenFile(file, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	if err := empty.Close(); err != nil {
		return err
	}
	// A connection of our own, since the plugin never closes one.
	db, err := sql.Open("sqlite", (&url.URL{Scheme: "file", Opaque: (&url.URL{Path: file}).EscapedPath()}).String())
	if err != nil {
		return err
	}
	defer db.Close()
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	var things int
	if err := tx.QueryRowContext(ctx, "SELECT count(*) FROM sqlite_master").Scan(&things); err != nil {
		return err
	}
	if things > 0 {
		return nil
	}
	if err := sqlite.SetupSchemaOnDB(&schemaWriter{tx: tx}); err != nil {
		return err
	}
	return tx.Commit()
}

// schemaWriter lets the server's schema be written within a transaction. Nothing but Exec is called on it.
type schemaWriter struct {
	sqlplugin.AdminDB
	tx *sql.Tx
}

func (w *schemaWriter) Exec(statement string, args ...any) error {
	_, err := w.tx.Exec(statement, args...)
	return err
}

// updateNamespace brings a namespace that an earlier run made up to date. It does so in the file, before the server
// reads it: through the server's own interface, changes would take effect only some time after Start has returned.
func updateNamespace(ctx context.Context, cfg Config, conf *config.SQL) error {
	db, err := persistencesql.NewSQLDB(sqlplugin.DbKindMain, conf, resolver.NewNoopResolver(), log.NewNoopLogger(),
		metrics.NoopMetricsHandler)
	if err != nil {
		return err
	}
	defer db.Close()
	rows, err := db.SelectFromNamespace(ctx, sqlplugin.NamespaceFilter{Name: &cfg.Namespace})
	if err != nil {
		return err
	}
	if len(rows) != 1 {
		return errors.New("is not there")
	}
	row := rows[0]
	serializer := serialization.NewSerializer()
	detail, err := serializer.NamespaceDetailFromBlob(persistence.NewDataBlob(row.Data, row.DataEncoding))
	if err != nil {
		return err
	}
	before := proto.Clone(detail)
	detail.Config.Retention = durationpb.New(cfg.Retention)
	if err := addSearchAttributes(detail, cfg.SearchAttributes); err != nil {
		return err
	}
	if proto.Equal(before, detail) {
		return nil
	}
	var blob *commonpb.DataBlob
	if blob, err = serializer.NamespaceDetailToBlob(detail); err != nil {
		return err
	}
	row.Data, row.DataEncoding = blob.GetData(), blob.GetEncodingType().String()
	_, err = db.UpdateNamespace(ctx, &row)
	return err
}

// addSearchAttributes gives each attribute that has none yet a column of its type. A column once given is never taken
// back: closed workflows are filed under it.
func addSearchAttributes(detail *persistencespb.NamespaceDetail, wanted map[string]enumspb.IndexedValueType) error {
	aliases := detail.Config.CustomSearchAttributeAliases
	if aliases == nil {
		aliases = map[string]string{}
		detail.Config.CustomSearchAttributeAliases = aliases
	}
	columns := sadefs.GetDBIndexSearchAttributes(nil).CustomSearchAttributes
	for name, kind := range wanted {
		has, ok := columnOf(aliases, name)
		if ok && columns[has] != kind {
			return fmt.Errorf("search attribute %s is a %s and can't become a %s", name, columns[has], kind)
		}
		if ok {
			continue
		}
		free := freeColumn(columns, aliases, kind)
		if free == "" {
			return fmt.Errorf("no room for another %s search attribute: %s", kind, name)
		}
		aliases[free] = name
	}
	return nil
}

func columnOf(aliases map[string]string, name string) (string, bool) {
	for column, alias := range aliases {
		if alias == name {
			return column, true
		}
	}
	return "", false
}

func freeColumn(columns map[string]enumspb.IndexedValueType, aliases map[string]string, kind enumspb.IndexedValueType) string {
	var free []string
	for column, its := range columns {
		if _, taken := aliases[column]; its == kind && !taken {
			free = append(free, column)
		}
	}
	if len(free) == 0 {
		return ""
	}
	return slices.MinFunc(free, strings.Compare)
}
