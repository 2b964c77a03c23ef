package stack

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/yunshu/yunshu/dev/identity"
)

// startIdentity runs the OpenID provider, in a process of its own as in production.
func (s *stack) startIdentity(ctx context.Context) (string, error) {
	people, err := s.people()
	if err != nil {
		return "", fmt.Errorf("write down the demo people: %w", err)
	}
	port, err := s.port("the sign-in", 8400)
	if err != nil {
		return "", err
	}
	c, err := s.run("identity", nil, "yunshu-dev", "identity", "--listen", fmt.Sprintf("127.0.0.1:%d", port), "--people", people)
	if err != nil {
		return "", err
	}
	line, err := await(ctx, c, 30*time.Second)
	if err != nil {
		return "", err
	}
	_, s.issuer, _ = strings.Cut(line, "issuer=")
	return s.issuer, nil
}

// people writes the demo people down the first time, and returns the file. What a developer changed there stays.
func (s *stack) people() (string, error) {
	var err error
	if s.password, err = secret(filepath.Join(s.dir, "people.password"), demoPassword); err != nil {
		return "", err
	}
	path := filepath.Join(s.dir, "people.yaml")
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		return path, err
	}
	demo, err := identity.Demo(s.password)
	if err != nil {
		return "", err
	}
	return path, identity.Write(path, demo)
}

// demoPassword is one that people can type, of 60 random bits.
func demoPassword() (string, error) { return strings.ToLower(rand.Text()[:12]), nil }
