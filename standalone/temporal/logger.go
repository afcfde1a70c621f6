package temporal

import (
	"context"
	"log/slog"
	"os"

	"go.temporal.io/server/common/log"
	"go.temporal.io/server/common/log/tag"
)

// logger passes the server's log on to slog: errors always, warnings while the server serves. What it says below that is
// about itself.
type logger struct {
	out   *slog.Logger
	level *slog.LevelVar // shared with the loggers made by With
}

var (
	_ log.Logger     = (*logger)(nil)
	_ log.WithLogger = (*logger)(nil)
)

func newLogger(out *slog.Logger) *logger {
	level := new(slog.LevelVar)
	level.Set(slog.LevelError)
	return &logger{out: out.With("component", "temporal"), level: level}
}

// serving lets warnings through. Those of a starting server are about parts that are not up yet, or not wanted.
func (l *logger) serving() { l.level.Set(slog.LevelWarn) }

// quieten drops warnings and errors from now on: a server that stops reports each of its parts' losing the others.
func (l *logger) quieten() { l.level.Set(slog.LevelError + 1) }

func (l *logger) log(level slog.Level, msg string, tags []tag.Tag) {
	ctx := context.Background()
	if level < l.level.Level() || !l.out.Enabled(ctx, level) {
		return
	}
	l.out.LogAttrs(ctx, level, msg, attrs(tags)...)
}

func attrs(tags []tag.Tag) []slog.Attr {
	all := make([]slog.Attr, len(tags))
	for i, t := range tags {
		all[i] = slog.Any(t.Key(), t.Value())
	}
	return all
}

func (l *logger) Debug(msg string, tags ...tag.Tag)  { l.log(slog.LevelDebug, msg, tags) }
func (l *logger) Info(msg string, tags ...tag.Tag)   { l.log(slog.LevelInfo, msg, tags) }
func (l *logger) Warn(msg string, tags ...tag.Tag)   { l.log(slog.LevelWarn, msg, tags) }
func (l *logger) Error(msg string, tags ...tag.Tag)  { l.log(slog.LevelError, msg, tags) }
func (l *logger) DPanic(msg string, tags ...tag.Tag) { l.log(slog.LevelError, msg, tags) }

func (l *logger) Panic(msg string, tags ...tag.Tag) {
	l.log(fatal, msg, tags)
	panic("temporal: " + msg)
}

// Fatal ends the process: the server counts on not going on.
func (l *logger) Fatal(msg string, tags ...tag.Tag) {
	l.log(fatal, msg, tags)
	os.Exit(1)
}

// fatal is said even while the server stops.
const fatal = slog.LevelError + 4

func (l *logger) With(tags ...tag.Tag) log.Logger {
	args := make([]any, 0, len(tags))
	for _, attr := range attrs(tags) {
		args = append(args, attr)
	}
	return &logger{out: l.out.With(args...), level: l.level}
}
