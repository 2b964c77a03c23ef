package qemu

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
)

// monitor speaks QMP, QEMU's way to be told things, over its standard input and output.
type monitor struct {
	mu      sync.Mutex
	in      *json.Encoder
	out     *json.Decoder
	answers chan message
	closed  chan struct{}
}

// message is anything that QEMU says: a greeting, an answer or an event.
type message struct {
	QMP    *json.RawMessage
	Return *json.RawMessage
	Error  *struct{ Desc string }
	Event  string
}

// connect hears the greeting and begins to speak.
func connect(in io.Writer, out io.Reader) (*monitor, error) {
	m := &monitor{in: json.NewEncoder(in), out: json.NewDecoder(out), answers: make(chan message, 1), closed: make(chan struct{})}
	var greeting message
	if err := m.out.Decode(&greeting); err != nil {
		return nil, err
	}
	if greeting.QMP == nil {
		return nil, errors.New("it did not greet")
	}
	if err := m.in.Encode(map[string]string{"execute": "qmp_capabilities"}); err != nil {
		return nil, err
	}
	var answer message
	if err := m.out.Decode(&answer); err != nil {
		return nil, err
	}
	if answer.Error != nil {
		return nil, errors.New(answer.Error.Desc)
	}
	return m, nil
}

// drain passes answers on and reads over events, until QEMU has ended.
func (m *monitor) drain() error {
	defer close(m.closed)
	for {
		var said message
		if err := m.out.Decode(&said); err != nil {
			return err
		}
		if said.Event == "" {
			m.answers <- said
		}
	}
}

// execute has QEMU do something and waits until it says that it will.
func (m *monitor) execute(command string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.in.Encode(map[string]string{"execute": command}); err != nil {
		return fmt.Errorf("%s: %w", command, err)
	}
	select {
	case answer := <-m.answers:
		if answer.Error != nil {
			return fmt.Errorf("%s: %s", command, answer.Error.Desc)
		}
		return nil
	case <-m.closed: // QEMU ended first
		return nil
	}
}
