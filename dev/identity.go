package main

import (
	"context"
	"fmt"
	"net"

	"github.com/yunshu/yunshu/dev/identity"
)

// serveIdentity runs the OpenID provider until it is told to stop.
func serveIdentity(ctx context.Context, listen, peopleFile string) error {
	people, err := identity.Read(peopleFile)
	if err != nil {
		return fmt.Errorf("read the people who can sign in: %w", err)
	}
	l, err := net.Listen("tcp", listen)
	if err != nil {
		return err
	}
	issuer := "http://" + l.Addr().String()
	provider, err := identity.New(identity.Options{Issuer: issuer, People: people})
	if err != nil {
		return err
	}
	fmt.Printf("ready issuer=%s\n", issuer)
	return identity.Serve(ctx, l, provider)
}
