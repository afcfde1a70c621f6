package postgres

import (
	"os"
	"sync"
)

// logLimit bounds one log file, in bytes; the log takes twice that at most.
const logLimit = 5 << 20

// logFile is a log that starts anew when it is full, keeping one old file beside it, and that remembers its last words.
type logFile struct {
	path  string
	limit int64

	mu   sync.Mutex
	file *os.File
	size int64
	tail []byte
}

// tailLimit is how much of the log is kept in memory to explain a failed start.
const tailLimit = 4 << 10

func openLog(path string, limit int64) (*logFile, error) {
	log := &logFile{path: path, limit: limit}
	if err := log.open(); err != nil {
		return nil, err
	}
	return log, nil
}

func (l *logFile) open() error {
	file, err := os.OpenFile(l.path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	info, err := file.Stat()
	if err != nil {
		file.Close()
		return err
	}
	l.file, l.size = file, info.Size()
	return nil
}

// Write never fails: a full disk must not block the server, which waits for its log to be read.
func (l *logFile) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tail = append(l.tail, p...)
	l.tail = l.tail[max(0, len(l.tail)-tailLimit):]
	if l.size+int64(len(p)) > l.limit {
		l.rotate()
	}
	if l.file != nil {
		n, _ := l.file.Write(p)
		l.size += int64(n)
	}
	return len(p), nil
}

func (l *logFile) rotate() {
	if l.file != nil {
		l.file.Close()
		l.file = nil
	}
	if err := os.Rename(l.path, l.path+".1"); err != nil {
		// Start over rather than grow without bound.
		_ = os.Remove(l.path)
	}
	_ = l.open() // Tried again at the next line if it fails: size stays over the limit.
}

// lastWords returns the end of the log, for an error message.
func (l *logFile) lastWords() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return string(l.tail)
}

func (l *logFile) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file == nil {
		return nil
	}
	err := l.file.Close()
	l.file = nil
	return err
}
