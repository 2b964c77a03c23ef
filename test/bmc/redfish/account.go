package redfish

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"fmt"
	"net/http"
	"slices"
	"strconv"

	"github.com/yunshu/yunshu/test/bmc"
)

// slots is how many accounts a BMC has room for, empty ones included.
const slots = 12

var roles = []string{"Administrator", "Operator", "ReadOnly", "None"}

// account is one slot. It holds no password, only what a password is checked against.
type account struct {
	User    string `json:"user"`
	Role    string `json:"role"`
	Enabled bool   `json:"enabled"`
	Salt    string `json:"salt"`
	Hash    string `json:"hash"`
}

// newAccounts has the administrator where the vendor has it: the first slot of a Dell is not for use.
func newAccounts(vendor, user, password string) []account {
	all := make([]account, slots)
	for i := range all {
		all[i].Role = "None"
	}
	first := 0
	if vendor == bmc.Dell {
		first = 1
	}
	all[first] = account{User: user, Role: "Administrator", Enabled: true}
	all[first].set(password)
	return all
}

func (a *account) set(password string) {
	a.Salt = rand.Text()
	a.Hash = digest(a.Salt, password)
}

func digest(salt, password string) string {
	sum := sha256.Sum256([]byte(salt + "/" + password))
	return hex.EncodeToString(sum[:])
}

// login returns the account that a name and a password open, and nil where they open none.
func (m *Machine) login(user, password string) *account {
	if user == "" {
		return nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := range m.accounts {
		a := &m.accounts[i]
		if a.Enabled && a.User == user && subtle.ConstantTimeCompare([]byte(a.Hash), []byte(digest(a.Salt, password))) == 1 {
			found := *a
			return &found
		}
	}
	return nil
}

// SetPassword changes an account's password behind everybody's back.
func (m *Machine) SetPassword(user, password string) {
	m.mu.Lock()
	for i := range m.accounts {
		if m.accounts[i].User == user {
			m.accounts[i].set(password)
		}
	}
	m.mu.Unlock()
	m.changed()
}

// PasswordIs says whether a user can log in with a password now.
func (m *Machine) PasswordIs(user, password string) bool { return m.login(user, password) != nil }

func (m *Machine) accountDoc(i int) doc {
	a := m.accounts[i]
	id := strconv.Itoa(i + 1)
	return doc{
		"@odata.id": root + "/AccountService/Accounts/" + id, "@odata.type": "#ManagerAccount.v1_12_0.ManagerAccount", "Id": id, "Name": "User Account",
		"UserName": a.User, "Password": nil, "RoleId": a.Role, "Enabled": a.Enabled, "Locked": false, "AccountTypes": []string{"Redfish", "OEM"}, "OEMAccountTypes": []string{"IPMI"},
		"Links": doc{"Role": link(root + "/AccountService/Roles/" + a.Role)},
	}
}

// patchAccount changes a slot, all that is asked or nothing.
func (m *Machine) patchAccount(i int, in map[string]any) *problem {
	a := m.accounts[i]
	for key, value := range in {
		text, isText := value.(string)
		flag, isFlag := value.(bool)
		switch key {
		case "UserName":
			if !isText || len(text) > 16 || text != "" && m.taken(text, i) {
				return badValue(key)
			}
			a.User = text
		case "Password":
			if !isText || len(text) > 40 || text != "" && len(text) < 4 {
				return badValue(key)
			}
			if text != "" {
				a.set(text)
			}
		case "RoleId":
			if !slices.Contains(roles, text) {
				return badValue(key)
			}
			a.Role = text
		case "Enabled":
			if !isFlag {
				return badValue(key)
			}
			a.Enabled = flag
		case "AccountTypes", "OEMAccountTypes", "Locked":
		default:
			return unknown(key)
		}
	}
	if a.User == "" {
		a = account{Role: "None"}
	}
	if a.Enabled && a.Hash == "" {
		return badValue("Password")
	}
	m.endSessions(m.accounts[i].User, a)
	m.accounts[i] = a
	return nil
}

func (m *Machine) taken(user string, except int) bool {
	for i, a := range m.accounts {
		if i != except && a.User == user {
			return true
		}
	}
	return false
}

// createAccount fills the first empty slot, as BMCs do that know POST here.
func (m *Machine) createAccount(in map[string]any) (doc, *problem) {
	for _, key := range []string{"UserName", "Password", "RoleId"} {
		if text, _ := in[key].(string); text == "" {
			return nil, badValue(key)
		}
	}
	for i, a := range m.accounts {
		if i == 0 || a.User != "" {
			continue
		}
		if _, ok := in["Enabled"]; !ok {
			in["Enabled"] = true
		}
		if p := m.patchAccount(i, in); p != nil {
			return nil, p
		}
		return m.accountDoc(i), nil
	}
	return nil, &problem{status: http.StatusBadRequest, id: "CreateLimitReachedForResource", message: "The create operation failed because the resource has reached the limit of possible resources.", args: []string{}}
}

// slot finds an account by its id.
func (m *Machine) slot(id string) (int, bool) {
	n, err := strconv.Atoi(id)
	return n - 1, err == nil && n >= 1 && n <= len(m.accounts) && id == fmt.Sprint(n)
}
