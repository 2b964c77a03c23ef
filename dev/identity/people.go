package identity

import (
	_ "embed"
	"errors"
	"fmt"
	"os"

	"golang.org/x/crypto/bcrypt"
	"gopkg.in/yaml.v3"
)

// Person is someone who can sign in. The subject stays theirs for ever, whatever they are called.
type Person struct {
	Username     string   `yaml:"username"`
	Subject      string   `yaml:"subject"`
	Name         string   `yaml:"name"`
	Email        string   `yaml:"email"`
	Groups       []string `yaml:"groups,flow"`
	PasswordHash string   `yaml:"password_hash"` // bcrypt
}

type peopleFile struct {
	People []Person `yaml:"people"`
}

//go:embed people.yaml
var demo []byte

// Demo lists the demo people, each with the given password.
func Demo(password string) ([]Person, error) { return withPassword(password, bcrypt.DefaultCost) }

func withPassword(password string, cost int) ([]Person, error) {
	people, err := parse(demo)
	if err != nil {
		return nil, err
	}
	for i := range people {
		hash, err := bcrypt.GenerateFromPassword([]byte(password), cost)
		if err != nil {
			return nil, fmt.Errorf("hash the password of %s: %w", people[i].Username, err)
		}
		people[i].PasswordHash = string(hash)
	}
	return people, nil
}

// Read reads people from a file that Write wrote, or that a developer changed since.
func Read(path string) ([]Person, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	people, err := parse(raw)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return people, nil
}

// Write writes people to a file that only we can read.
func Write(path string, people []Person) error {
	raw, err := yaml.Marshal(peopleFile{people})
	if err != nil {
		return err
	}
	return os.WriteFile(path, raw, 0o600)
}

func parse(raw []byte) ([]Person, error) {
	var file peopleFile
	if err := yaml.Unmarshal(raw, &file); err != nil {
		return nil, fmt.Errorf("read people: %w", err)
	}
	names, subjects := map[string]bool{}, map[string]bool{}
	for _, p := range file.People {
		if p.Username == "" || p.Subject == "" {
			return nil, errors.New("everyone needs a username and a subject")
		}
		if names[p.Username] || subjects[p.Subject] {
			return nil, fmt.Errorf("the username or the subject of %s is somebody else's, too", p.Username)
		}
		names[p.Username], subjects[p.Subject] = true, true
	}
	return file.People, nil
}

// directory answers who somebody is.
type directory struct {
	byName, bySubject map[string]Person
	nobody            []byte // a hash that no password has
}

func newDirectory(people []Person) (directory, error) {
	d := directory{byName: map[string]Person{}, bySubject: map[string]Person{}}
	cost := bcrypt.DefaultCost
	for _, p := range people {
		var err error
		if cost, err = bcrypt.Cost([]byte(p.PasswordHash)); err != nil {
			return d, fmt.Errorf("%s has no password: %w", p.Username, err)
		}
		d.byName[p.Username], d.bySubject[p.Subject] = p, p
	}
	var err error
	d.nobody, err = bcrypt.GenerateFromPassword([]byte(secret()), cost)
	return d, err
}

// check returns the person with this name and password. Whether the name exists shows neither in the answer nor in the
// time that it takes.
func (d directory) check(username, password string) (Person, bool) {
	p, known := d.byName[username]
	hash := d.nobody
	if known {
		hash = []byte(p.PasswordHash)
	}
	right := bcrypt.CompareHashAndPassword(hash, []byte(password)) == nil
	return p, known && right
}
