package simkit

import (
	"crypto/sha256"
	"encoding/hex"
	"strconv"
)

// Identify makes 32 hex digits out of its parts: the same for the same seed.
func Identify(seed int64, parts ...string) string {
	b := strconv.AppendInt(make([]byte, 0, 128), seed, 10)
	for _, p := range parts {
		b = append(b, '|')
		b = append(b, p...)
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:16])
}
