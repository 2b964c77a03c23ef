package redfish

import (
	"net/http"
	"slices"
	"strings"
	"time"
)

// patch changes a resource, if the client has seen it as it is.
func (m *Machine) patch(c *call) answer {
	in, p := c.decode()
	if p != nil {
		return p.answer()
	}
	m.mu.Lock()
	p = m.patchLocked(c, in)
	m.mu.Unlock()
	if p != nil {
		return p.answer()
	}
	m.changed()
	if strings.HasPrefix(c.path, root+"/AccountService/") {
		m.fleet.keeper.flush()
	}
	return m.get(c)
}

func (m *Machine) patchLocked(c *call, in map[string]any) *problem {
	d := m.document(c.path)
	if d == nil {
		return notFound(c.path)
	}
	if match := c.Header.Get("If-Match"); match != "" && match != "*" && match != etag(say(0, d).body) {
		return stale()
	}
	if id, ok := strings.CutPrefix(c.path, root+"/AccountService/Accounts/"); ok {
		if c.role != "Administrator" {
			return forbidden()
		}
		i, _ := m.slot(id) // the document exists
		return m.patchAccount(i, in)
	}
	if c.role != "Administrator" && c.role != "Operator" {
		return forbidden()
	}
	switch c.path {
	case m.ids.systemPath():
		return m.patchSystem(in)
	case m.ids.chassisPath():
		return m.patchLight(in)
	}
	return notAllowed(http.MethodPatch)
}

func (m *Machine) patchSystem(in map[string]any) *problem {
	light := map[string]any{}
	for key, value := range in {
		switch key {
		case "Boot", "IndicatorLED", "LocationIndicatorActive":
			light[key] = value
		case "AssetTag":
			tag, ok := value.(string)
			if !ok || len(tag) > 63 {
				return badValue(key)
			}
			m.assetTag = tag
		case "HostName":
			name, ok := value.(string)
			if !ok {
				return badValue(key)
			}
			m.hostname = name
		default:
			return unknown(key)
		}
	}
	if boot, ok := light["Boot"]; ok {
		delete(light, "Boot")
		fields, ok := boot.(map[string]any)
		if !ok {
			return badValue("Boot")
		}
		if p := m.patchBoot(fields); p != nil {
			return p
		}
	}
	return m.patchLight(light)
}

// patchLight switches the locator's light, under its old name or its new one.
func (m *Machine) patchLight(in map[string]any) *problem {
	for key, value := range in {
		switch key {
		case "LocationIndicatorActive":
			lit, ok := value.(bool)
			if !ok {
				return badValue(key)
			}
			m.lit = lit
		case "IndicatorLED":
			text, _ := value.(string)
			if !slices.Contains([]string{"Lit", "Blinking", "Off"}, text) {
				return badValue(key)
			}
			m.lit = text != "Off"
		default:
			return unknown(key)
		}
	}
	return nil
}

// Lit says whether the locator's light is on.
func (m *Machine) Lit() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.lit
}

// post makes something or does an action.
func (m *Machine) post(c *call) answer {
	in, p := c.decode()
	if p != nil {
		return p.answer()
	}
	if c.path == sessionsPath || c.path == sessionsPath+"/Members" {
		return m.postSession(in)
	}
	if c.role != "Administrator" && c.role != "Operator" {
		return forbidden().answer()
	}
	if c.path == root+"/AccountService/Accounts" {
		return m.postAccount(c, in)
	}
	about, action, ok := strings.Cut(c.path, "/Actions/")
	if !ok {
		m.mu.Lock()
		defer m.mu.Unlock()
		if m.document(c.path) == nil {
			return notFound(c.path).answer()
		}
		return notAllowed(c.Method).answer()
	}
	if p := m.act(about, action, in); p != nil {
		return p.answer()
	}
	return say(http.StatusNoContent, nil)
}

func (m *Machine) postSession(in map[string]any) answer {
	user, _ := in["UserName"].(string)
	password, _ := in["Password"].(string)
	s, p := m.logIn(user, password)
	if p != nil {
		return p.answer()
	}
	a := say(http.StatusCreated, s.doc())
	a.header.Set("X-Auth-Token", s.token)
	a.header.Set("Location", sessionsPath+"/"+s.id)
	return a
}

func (m *Machine) postAccount(c *call, in map[string]any) answer {
	if c.role != "Administrator" {
		return forbidden().answer()
	}
	m.mu.Lock()
	d, p := m.createAccount(in)
	m.mu.Unlock()
	if p != nil {
		return p.answer()
	}
	m.changed()
	m.fleet.keeper.flush()
	a := say(http.StatusCreated, d)
	a.header.Set("Location", d["@odata.id"].(string))
	return a
}

// act carries an action out.
func (m *Machine) act(about, action string, in map[string]any) *problem {
	kind, _ := in["ResetType"].(string)
	switch {
	case about == m.ids.systemPath() && action == "ComputerSystem.Reset":
		if !slices.Contains(resetTypes, kind) {
			return badValue("ResetType")
		}
		return m.reset(kind)
	case about == m.ids.managerPath() && action == "Manager.Reset":
		if kind != "GracefulRestart" && kind != "ForceRestart" && len(in) > 0 {
			return badValue("ResetType")
		}
		m.restart()
		return nil
	case about == m.selPath() && action == "LogService.ClearLog":
		m.mu.Lock()
		m.log = nil
		m.record(OK, "System event log cleared")
		m.mu.Unlock()
		m.changed()
		return nil
	}
	if id, ok := strings.CutPrefix(about, m.ids.managerPath()+"/VirtualMedia/"); ok {
		return m.actMedia(id, action, in)
	}
	return notFound(about + "/Actions/" + action)
}

func (m *Machine) actMedia(id, action string, in map[string]any) *problem {
	m.mu.Lock()
	defer m.mu.Unlock()
	i := slices.IndexFunc(m.media, func(s media) bool { return s.ID == id })
	if i < 0 {
		return notFound(m.ids.managerPath() + "/VirtualMedia/" + id)
	}
	defer m.changed()
	switch action {
	case "VirtualMedia.InsertMedia":
		return m.media[i].insert(in)
	case "VirtualMedia.EjectMedia":
		if m.media[i].Image == "" {
			return conflict("Virtual media %s holds nothing.", id)
		}
		m.media[i].Image = ""
		return nil
	}
	return refused(action)
}

// restart takes the BMC away for a while, as its reset does. The machine itself goes on.
func (m *Machine) restart() {
	m.mu.Lock()
	m.host.happened(BMCReset)
	m.record(OK, "The management controller was reset")
	m.mu.Unlock()
	// The answer to whoever asked is still to leave.
	time.AfterFunc(20*time.Millisecond, func() {
		m.mu.Lock()
		m.restarting = true
		clear(m.sessions.all)
		m.mu.Unlock()
		time.AfterFunc(m.fleet.options.Restart, func() {
			m.mu.Lock()
			m.restarting = false
			m.mu.Unlock()
		})
	})
}

// remove ends a session or empties an account's slot.
func (m *Machine) remove(c *call) answer {
	if id, ok := strings.CutPrefix(c.path, sessionsPath+"/"); ok {
		m.mu.Lock()
		defer m.mu.Unlock()
		if m.sessions.all[id] == nil {
			return notFound(c.path).answer()
		}
		delete(m.sessions.all, id)
		return say(http.StatusNoContent, nil)
	}
	id, ok := strings.CutPrefix(c.path, root+"/AccountService/Accounts/")
	if !ok {
		return notAllowed(c.Method).answer()
	}
	if c.role != "Administrator" {
		return forbidden().answer()
	}
	m.mu.Lock()
	i, ok := m.slot(id)
	if ok {
		m.endSessions(m.accounts[i].User, account{})
		m.accounts[i] = account{Role: "None"}
	}
	m.mu.Unlock()
	if !ok {
		return notFound(c.path).answer()
	}
	m.changed()
	m.fleet.keeper.flush()
	return say(http.StatusNoContent, nil)
}
