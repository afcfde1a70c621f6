package simulator

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"time"
)

// A token is 32 bytes in base64: which account, when it was issued, and a seal.
// Tokens of one account begin alike, as the service's do (wire/bergen-rex11.md
// section 6). It is not kept anywhere, so a restart does not end it.
const (
	tokenAccount = 16
	tokenTime    = 8
)

// authenticate answers AuthenticationTokenGet: an empty result for any wrong credential.
func authenticate(c *call) (answer, *fault) {
	token := ""
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, b := range c.books {
		if b.WebAddress == c.arg("WebAddress") && b.UserName == c.arg("UserName") && b.Password == c.arg("Password") {
			token = c.issue(b, c.now)
		}
	}
	if c.stats.Tokens++; token == "" {
		c.stats.BadLogins++
	}
	return answer{text: &token}, nil
}

func (s *Simulator) issue(b *book, at time.Time) string {
	head := sha256.Sum256([]byte("account|" + itoa(s.seed) + "|" + b.Prefix))
	raw := head[:tokenAccount:tokenAccount]
	raw = binary.BigEndian.AppendUint64(raw, uint64(at.UnixNano())^binary.BigEndian.Uint64(head[tokenAccount:]))
	return base64.StdEncoding.EncodeToString(append(raw, s.seal(raw)...))
}

func (s *Simulator) seal(raw []byte) []byte {
	sum := sha256.Sum256([]byte(itoa(s.seed) + "|" + itoa(s.epoch) + "|" + string(raw)))
	return sum[:8]
}

// account finds whose token the call carries, in the one element that the
// operation reads it from; nil for a token that is missing, forged or too old.
func (c *call) account() *book {
	raw, err := base64.StdEncoding.DecodeString(c.arg(c.op.token))
	if c.op.token == "" || err != nil || len(raw) != sha256.Size {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	body := raw[:tokenAccount+tokenTime]
	if !bytes.Equal(c.seal(body), raw[tokenAccount+tokenTime:]) {
		return nil
	}
	for _, b := range c.books {
		head := sha256.Sum256([]byte("account|" + itoa(c.seed) + "|" + b.Prefix))
		if !bytes.Equal(head[:tokenAccount], raw[:tokenAccount]) {
			continue
		}
		issued := time.Unix(0, int64(binary.BigEndian.Uint64(raw[tokenAccount:])^binary.BigEndian.Uint64(head[tokenAccount:])))
		if life := c.behaviour.tokenLifetime(); life < 0 || c.now.Sub(issued) < life {
			return b
		}
	}
	return nil
}

func (b *Behaviour) badToken() (answer, *fault) {
	switch b.BadToken {
	case BadTokenFault:
		return answer{}, thrown("Authentication failed")
	case BadTokenEmpty:
		return answer{}, nil
	}
	return notes(2, "AuthenticationError", "Authentication failed"), nil
}

// ExpireTokens makes every token that was issued so far bad.
func (s *Simulator) ExpireTokens() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.epoch++
}
