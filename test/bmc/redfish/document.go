package redfish

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

func link(path string) doc { return doc{"@odata.id": path} }

func links(paths ...string) []doc {
	out := []doc{}
	for _, p := range paths {
		out = append(out, link(p))
	}
	return out
}

func status(health string) doc {
	return doc{"State": "Enabled", "Health": health, "HealthRollup": health}
}

func number(i int) string { return strconv.Itoa(i + 1) }

// collection lists members by their ids.
func collection(path, kind, name string, members ...string) doc {
	paths := []string{}
	for _, id := range members {
		paths = append(paths, path+"/"+id)
	}
	return doc{
		"@odata.id": path, "@odata.type": fmt.Sprintf("#%sCollection.%sCollection", kind, kind), "Name": name,
		"Members": links(paths...), "Members@odata.count": len(paths),
	}
}

// resource begins a document.
func resource(path, kind, name string) doc {
	short, _, _ := strings.Cut(kind, ".")
	return doc{"@odata.id": path, "@odata.type": "#" + kind + "." + short, "Id": path[strings.LastIndex(path, "/")+1:], "Name": name}
}

// with adds properties to a document.
func (d doc) with(more doc) doc {
	for k, v := range more {
		d[k] = v
	}
	return d
}

// document returns what is at a path, and nil where there is nothing. It runs under the lock.
func (m *Machine) document(path string) doc {
	switch path {
	case "/redfish":
		return doc{"v1": root + "/"}
	case root:
		return m.rootDoc()
	case root + "/odata":
		return doc{"@odata.context": root + "/$metadata", "value": []doc{{"name": "Service", "kind": "Singleton", "url": root + "/"}}}
	}
	branch, rest, _ := strings.Cut(strings.TrimPrefix(path, root+"/"), "/")
	switch branch {
	case "Systems":
		return m.systemsDoc(path, rest)
	case "Chassis":
		return m.chassisDocs(path, rest)
	case "Managers":
		return m.managersDoc(path, rest)
	case "SessionService":
		return m.sessionDocs(path, rest)
	case "AccountService":
		return m.accountDocs(path, rest)
	case "UpdateService":
		return m.updateDocs(path, rest)
	case "TaskService":
		return taskDocs(path, rest)
	}
	return nil
}

func (m *Machine) rootDoc() doc {
	d := doc{
		"@odata.id": root + "/", "@odata.type": "#ServiceRoot.v1_16_0.ServiceRoot", "Id": "RootService", "Name": "Root Service", "RedfishVersion": "1.18.0",
		"UUID": m.hardware.UUID, "Vendor": m.ids.oem, "Product": m.ids.product,
		"Systems": link(root + "/Systems"), "Chassis": link(root + "/Chassis"), "Managers": link(root + "/Managers"), "SessionService": link(root + "/SessionService"),
		"AccountService": link(root + "/AccountService"), "UpdateService": link(root + "/UpdateService"), "Tasks": link(root + "/TaskService"),
		"Links":                     doc{"Sessions": link(sessionsPath)},
		"ProtocolFeaturesSupported": doc{"ExpandQuery": doc{"ExpandAll": false, "Levels": false, "Links": false, "NoLinks": false}, "FilterQuery": false, "SelectQuery": false},
		"Oem":                       doc{m.ids.oem: doc{}},
	}
	return d
}

func (m *Machine) sessionDocs(path, rest string) doc {
	if rest == "" {
		return resource(path, "SessionService.v1_1_9", "Session Service").with(doc{
			"Status": status(OK), "ServiceEnabled": true, "SessionTimeout": int(m.fleet.options.SessionTimeout / time.Second), "Sessions": link(sessionsPath),
		})
	}
	if rest == "Sessions" {
		return collection(path, "Session", "Session Collection", m.sessionIDs()...)
	}
	if s := m.sessions.all[strings.TrimPrefix(rest, "Sessions/")]; s != nil {
		return s.doc()
	}
	return nil
}

func (m *Machine) accountDocs(path, rest string) doc {
	kind, id, deeper := strings.Cut(rest, "/")
	switch {
	case rest == "":
		return resource(path, "AccountService.v1_15_0", "Account Service").with(doc{
			"Status": status(OK), "ServiceEnabled": true, "MinPasswordLength": 4, "MaxPasswordLength": 40,
			"Accounts": link(path + "/Accounts"), "Roles": link(path + "/Roles"),
		})
	case rest == "Accounts":
		ids := []string{}
		for i := range m.accounts {
			ids = append(ids, number(i))
		}
		return collection(path, "ManagerAccount", "Accounts Collection", ids...)
	case rest == "Roles":
		return collection(path, "Role", "Roles Collection", roles...)
	case kind == "Accounts" && deeper:
		if i, ok := m.slot(id); ok {
			return m.accountDoc(i)
		}
	case kind == "Roles" && slices.Contains(roles, id):
		return resource(path, "Role.v1_3_1", "User Role").with(doc{"IsPredefined": true, "RoleId": id, "AssignedPrivileges": privileges[id]})
	}
	return nil
}

var privileges = map[string][]string{
	"Administrator": {"Login", "ConfigureManager", "ConfigureUsers", "ConfigureSelf", "ConfigureComponents"},
	"Operator":      {"Login", "ConfigureSelf", "ConfigureComponents"},
	"ReadOnly":      {"Login", "ConfigureSelf"},
	"None":          {},
}

// updateDocs are the firmware inventory, whose ids begin as those of a Dell do: bmclib looks for that. They hold
// no digits: bmclib would take one for the BMC's own, whose id is 1 with some vendors.
func (m *Machine) updateDocs(path, rest string) doc {
	if rest == "" {
		return resource(path, "UpdateService.v1_14_0", "Update Service").with(doc{"Status": status(OK), "ServiceEnabled": true, "FirmwareInventory": link(path + "/FirmwareInventory")})
	}
	ids := []string{}
	for i, f := range m.hardware.Firmware {
		id := "Installed-" + strings.ReplaceAll(f.Name, " ", "_")
		ids = append(ids, id)
		if rest == "FirmwareInventory/"+id {
			return resource(path, "SoftwareInventory.v1_10_0", f.Name).with(doc{
				"Status": status(OK), "Version": m.firmware(f.Name), "SoftwareId": number(i), "Updateable": true, "Manufacturer": m.hardware.Vendor,
			})
		}
	}
	if rest == "FirmwareInventory" {
		return collection(path, "SoftwareInventory", "Firmware Inventory Collection", ids...)
	}
	return nil
}

// firmware returns a version. That of the BIOS is the machine's, whichever of its two places was changed last.
func (m *Machine) firmware(name string) string {
	if name == "BIOS" {
		return m.hardware.BIOS
	}
	return m.hardware.FirmwareVersion(name)
}

func taskDocs(path, rest string) doc {
	switch rest {
	case "":
		return resource(path, "TaskService.v1_2_0", "Task Service").with(doc{"Status": status(OK), "ServiceEnabled": true, "Tasks": link(path + "/Tasks")})
	case "Tasks":
		return collection(path, "Task", "Task Collection")
	}
	return nil
}
