package redfish

import (
	"crypto/rand"
	"crypto/subtle"
	"net/http"
	"sort"
	"strconv"
	"time"
)

// sessions are the logins of one BMC. They do not outlive it.
type sessions struct {
	all  map[string]*session // by id
	last int
}

type session struct {
	id, user, token string
	began, used     time.Time
}

// expire forgets the sessions that nobody has used for too long.
func (m *Machine) expire() {
	for id, s := range m.sessions.all {
		if time.Since(s.used) > m.fleet.options.SessionTimeout {
			delete(m.sessions.all, id)
		}
	}
}

// logIn makes a session and its token.
func (m *Machine) logIn(user, password string) (*session, *problem) {
	if m.login(user, password) == nil {
		return nil, unauthorized()
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.expire()
	if len(m.sessions.all) >= m.fleet.options.Sessions {
		return nil, tooMany()
	}
	m.sessions.last++
	now := time.Now()
	s := &session{id: strconv.Itoa(m.sessions.last), user: user, token: rand.Text(), began: now, used: now}
	m.sessions.all[s.id] = s
	return s, nil
}

// Sessions returns how many logins there are now: what a client did not log out of is still here.
func (m *Machine) Sessions() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.expire()
	return len(m.sessions.all)
}

// EndSessions forgets every login, as a BMC does that restarts.
func (m *Machine) EndSessions() {
	m.mu.Lock()
	defer m.mu.Unlock()
	clear(m.sessions.all)
}

// endSessions forgets the logins of a user who is there no more.
func (m *Machine) endSessions(user string, now account) {
	if user == now.User && now.Enabled {
		return
	}
	for id, s := range m.sessions.all {
		if s.user == user {
			delete(m.sessions.all, id)
		}
	}
}

// authenticate returns the role of whoever makes a call.
func (m *Machine) authenticate(r *http.Request) (role string, ok bool) {
	if user, password, given := r.BasicAuth(); given {
		a := m.login(user, password)
		if a == nil {
			return "", false
		}
		return a.Role, true
	}
	token := r.Header.Get("X-Auth-Token")
	if token == "" {
		return "", false
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.expire()
	for _, s := range m.sessions.all {
		if subtle.ConstantTimeCompare([]byte(s.token), []byte(token)) != 1 {
			continue
		}
		s.used = time.Now()
		for _, a := range m.accounts {
			if a.User == s.user && a.Enabled {
				return a.Role, true
			}
		}
	}
	return "", false
}

const sessionsPath = root + "/SessionService/Sessions"

func (s *session) doc() doc {
	return doc{
		"@odata.id": sessionsPath + "/" + s.id, "@odata.type": "#Session.v1_7_0.Session", "Id": s.id, "Name": "User Session",
		"UserName": s.user, "Password": nil, "SessionType": "Redfish", "CreatedTime": s.began.UTC().Format(time.RFC3339),
	}
}

// sessionIDs returns them in the order of their making.
func (m *Machine) sessionIDs() []string {
	m.expire()
	out := []string{}
	for id := range m.sessions.all {
		out = append(out, id)
	}
	sort.Slice(out, func(i, j int) bool { return len(out[i]) < len(out[j]) || len(out[i]) == len(out[j]) && out[i] < out[j] })
	return out
}
