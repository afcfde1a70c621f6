package csv

import (
	"context"
	"io"
	"path"
	"strings"

	"orderferry/connectors"
)

// watched tells a watcher of what is done at a place.
type watched struct {
	place
	connectors.Watcher
	connector string
	sent      string // folder of copies, which has one for each order
}

func watch(p place, cfg connectors.Config, connector string) place {
	if cfg.Watcher == nil {
		return p
	}
	return &watched{p, cfg.Watcher, connector, cfg.Settings["sent_folder"]}
}

func (w *watched) use(ctx context.Context, f func(files) error) error {
	return w.place.use(ctx, func(at files) error { return f(&watchedFiles{at, w}) })
}

type watchedFiles struct {
	files
	*watched
}

func (w *watchedFiles) step(what, name string) (done func()) {
	dir := path.Dir(name)
	if strings.HasPrefix(dir, w.sent+"/") {
		dir = w.sent
	}
	return w.Step(w.connector + " " + what + " " + dir)
}

func (w *watchedFiles) create(name string, content []byte) error {
	defer w.step("create", name)()
	return w.files.create(name, content)
}

func (w *watchedFiles) rename(from, to string) error {
	defer w.step("rename", to)()
	return w.files.rename(from, to)
}

func (w *watchedFiles) remove(name string) error {
	defer w.step("remove", name)()
	return w.files.remove(name)
}

func (w *watchedFiles) open(name string) (io.ReadSeekCloser, error) {
	defer w.step("open", name)()
	return w.files.open(name)
}
