package identity

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/bcrypt"
)

func TestPeopleAreKeptInAFileWithoutTheirPassword(t *testing.T) {
	t.Parallel()
	people, err := withPassword(password, bcrypt.MinCost)
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), "people.yaml")
	require.NoError(t, Write(path, people))
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	raw, err := os.ReadFile(path)
	require.NoError(t, err)
	require.NotContains(t, string(raw), "horse")
	got, err := Read(path)
	require.NoError(t, err)
	require.Equal(t, people, got)

	d, err := newDirectory(got)
	require.NoError(t, err)
	p, ok := d.check("audrey", password)
	require.True(t, ok)
	require.Equal(t, []string{"auditors"}, p.Groups)
	_, ok = d.check("audrey", password+" ")
	require.False(t, ok)
}

func TestPeopleWhoCannotBeToldApartAreRefused(t *testing.T) {
	t.Parallel()
	for text, says := range map[string]string{
		"people: [{username: ada}]": "everyone needs a username and a subject",
		"people: [{username: ada, subject: '1'}, {username: ada, subject: '2'}]": "the username or the subject of ada is somebody else's, too",
		"people: [{username: ada, subject: '1'}, {username: bob, subject: '1'}]": "the username or the subject of bob is somebody else's, too",
	} {
		path := filepath.Join(t.TempDir(), "people.yaml")
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		_, err := Read(path)
		require.ErrorContains(t, err, says)
	}
	_, err := newDirectory([]Person{{Username: "ada", Subject: "1", PasswordHash: "clear text"}})
	require.ErrorContains(t, err, "ada has no password")
}
