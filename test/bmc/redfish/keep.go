package redfish

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"sync"
	"time"

	"github.com/yunshu/yunshu/test/bmc"
)

// kept is all of a machine that a restart must not lose. A machine that nobody touched has none.
type kept struct {
	On         bool               `json:"on"`
	Coming     bool               `json:"coming"` // power was coming on, so it has yet to boot
	Booted     string             `json:"booted"` // device
	Media      []media            `json:"media"`
	Boot       boot               `json:"boot"`
	Accounts   []account          `json:"accounts"`
	Generation int                `json:"generation"` // of the certificate
	Log        []entry            `json:"log"`
	Logged     int                `json:"logged"`
	System     string             `json:"system"` // health
	Parts      map[string]string  `json:"parts"`
	Sensors    map[string]float64 `json:"sensors"`
	HostName   string             `json:"host_name"`
	AssetTag   string             `json:"asset_tag"`
	Lit        bool               `json:"lit"`
	Hardware   *bmc.Hardware      `json:"hardware,omitempty"` // unless it is as it was made
}

// keeper writes the touched machines to the state file a moment after they changed, and at the end.
type keeper struct {
	file    string
	mu      sync.Mutex
	all     map[string]kept // by name, as they were written last
	touched map[*Machine]bool
	wake    chan struct{}
	flushes chan chan struct{}
	quit    chan struct{}
	done    chan struct{}
	once    sync.Once
}

const settle = 100 * time.Millisecond

func readState(file string) (map[string]kept, error) {
	all := map[string]kept{}
	if file == "" {
		return all, nil
	}
	raw, err := os.ReadFile(file)
	if errors.Is(err, os.ErrNotExist) {
		return all, nil
	}
	if err != nil {
		return nil, err
	}
	return all, json.Unmarshal(raw, &all)
}

// newKeeper begins to keep; without a file there is none.
func newKeeper(file string, all map[string]kept) *keeper {
	if file == "" {
		return nil
	}
	k := &keeper{file: file, all: maps.Clone(all), touched: map[*Machine]bool{}, wake: make(chan struct{}, 1), flushes: make(chan chan struct{}), quit: make(chan struct{}), done: make(chan struct{})}
	go k.run()
	return k
}

// touch remembers that a machine changed. It takes no lock of the machine.
func (k *keeper) touch(m *Machine) {
	k.mu.Lock()
	k.touched[m] = true
	k.mu.Unlock()
	select {
	case k.wake <- struct{}{}:
	default:
	}
}

func (k *keeper) run() {
	defer close(k.done)
	for {
		var waiting []chan struct{}
		select {
		case <-k.wake:
			select {
			case <-time.After(settle): // changes come in bursts
			case c := <-k.flushes:
				waiting = append(waiting, c)
			case <-k.quit:
			}
		case c := <-k.flushes:
			waiting = append(waiting, c)
		case <-k.quit:
			k.save()
			return
		}
		k.save()
		for _, c := range waiting {
			close(c)
		}
	}
}

// flush returns when all that was touched before is on disk. What a client was told of a password must not be lost.
func (k *keeper) flush() {
	if k == nil {
		return
	}
	written := make(chan struct{})
	select {
	case k.flushes <- written:
		<-written
	case <-k.done:
	}
}

func (k *keeper) stop() {
	k.once.Do(func() { close(k.quit) })
	<-k.done
}

// save replaces the state file in one step, so that a kill leaves the old one or the new one.
func (k *keeper) save() {
	k.mu.Lock()
	touched := k.touched
	k.touched = map[*Machine]bool{}
	k.mu.Unlock()
	if len(touched) == 0 {
		return
	}
	for m := range touched {
		k.all[m.Name] = m.keep()
	}
	raw, err := json.Marshal(k.all)
	if err == nil {
		if err = os.WriteFile(k.file+".new", raw, 0o600); err == nil {
			err = os.Rename(k.file+".new", k.file)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "the machines could not be kept:", err)
	}
}

// keep reads a machine.
func (m *Machine) keep() kept {
	m.mu.Lock()
	defer m.mu.Unlock()
	k := kept{
		On: m.host.power == on || m.host.power == comingOn, Coming: m.host.power == comingOn, Booted: m.host.booted.Device, Media: append([]media{}, m.media...), Boot: m.boot, Accounts: append([]account{}, m.accounts...),
		Generation: m.generation, Log: append([]entry{}, m.log...), Logged: m.logged, System: m.health.system, Parts: maps.Clone(m.health.parts), Sensors: maps.Clone(m.health.sensors),
		HostName: m.hostname, AssetTag: m.assetTag, Lit: m.lit,
	}
	if m.faked {
		h := m.hardware.Clone()
		k.Hardware = &h
	}
	return k
}

// restore makes a machine what it was, and starts what ran on it.
func (m *Machine) restore(k kept, known bool) {
	m.mu.Lock()
	if known {
		m.remember(k)
	}
	running := m.host.power == on
	if running {
		m.host.turn++
		turn := m.host.turn
		m.host.booted.MAC, m.host.booted.UUID, m.host.booted.Stopped = m.hardware.NICs[0].MAC, m.hardware.UUID, func() { m.stopped(turn) }
	}
	b := m.host.booted
	m.mu.Unlock()
	if known && k.Coming {
		m.run()
		return
	}
	if running && b.Device != setup {
		m.tell(func() error { return m.guest.Start(b) })
	}
}

// remember takes over what was kept. A machine that was on boots what it had booted last.
func (m *Machine) remember(k kept) {
	m.host.power = off
	if k.On {
		m.host.power = on
	}
	m.host.booted.Device = k.Booted
	for i := range m.media {
		for _, s := range k.Media {
			if s.ID == m.media[i].ID {
				m.media[i].Image = s.Image
			}
			if s.ID == m.media[i].ID && m.media[i].device() == k.Booted {
				m.host.booted.Media = s.Image
			}
		}
	}
	m.boot, m.accounts, m.generation, m.log, m.logged = k.Boot, k.Accounts, k.Generation, k.Log, k.Logged
	m.health = healths{system: k.System, parts: k.Parts, sensors: k.Sensors}
	m.hostname, m.assetTag, m.lit = k.HostName, k.AssetTag, k.Lit
	if k.Hardware != nil {
		m.hardware, m.faked = k.Hardware.Clone(), true
	}
}
