package redfish

import (
	"fmt"
	"net/http"
)

// problem is an answer in Redfish's own shape of an error.
type problem struct {
	status  int
	id      string // in the Base registry
	message string
	args    []string
}

func (p *problem) doc() doc {
	info := doc{
		"@odata.type": "#Message.v1_2_0.Message", "MessageId": "Base.1.18." + p.id, "Message": p.message, "MessageArgs": p.args,
		"Severity": "Critical", "MessageSeverity": "Critical", "Resolution": "Correct the request and send it again.",
	}
	return doc{"error": doc{"code": "Base.1.18." + p.id, "message": p.message, "@Message.ExtendedInfo": []doc{info}}}
}

func conflict(format string, args ...any) *problem {
	return &problem{status: http.StatusConflict, id: "OperationFailed", message: fmt.Sprintf(format, args...), args: []string{}}
}

func badValue(property string) *problem {
	return &problem{status: http.StatusBadRequest, id: "PropertyValueError", message: "The value provided for the property " + property + " is not valid.", args: []string{property}}
}

func unknown(property string) *problem {
	return &problem{status: http.StatusBadRequest, id: "PropertyUnknown", message: "The property " + property + " is not in the list of valid properties for the resource.", args: []string{property}}
}

func malformed() *problem {
	return &problem{status: http.StatusBadRequest, id: "MalformedJSON", message: "The request body submitted was malformed JSON and could not be parsed by the receiving service.", args: []string{}}
}

func notFound(path string) *problem {
	return &problem{status: http.StatusNotFound, id: "ResourceMissingAtURI", message: "The resource at the URI " + path + " was not found.", args: []string{path}}
}

func unauthorized() *problem {
	return &problem{status: http.StatusUnauthorized, id: "ResourceAtUriUnauthorized", message: "The credentials are missing or not valid.", args: []string{}}
}

func forbidden() *problem {
	return &problem{status: http.StatusForbidden, id: "InsufficientPrivilege", message: "There are insufficient privileges for the account or credentials associated with the current session to perform the requested operation.", args: []string{}}
}

func notAllowed(method string) *problem {
	return &problem{status: http.StatusMethodNotAllowed, id: "OperationNotAllowed", message: "The HTTP method " + method + " is not allowed on this resource.", args: []string{}}
}

func stale() *problem {
	return &problem{status: http.StatusPreconditionFailed, id: "PreconditionFailed", message: "The ETag supplied did not match the ETag required to change this resource.", args: []string{}}
}

func unavailable() *problem {
	return &problem{status: http.StatusServiceUnavailable, id: "ServiceTemporarilyUnavailable", message: "The service is temporarily unavailable. Retry in 1 seconds.", args: []string{"1"}}
}

func tooMany() *problem {
	return &problem{status: http.StatusServiceUnavailable, id: "SessionLimitExceeded", message: "The session establishment failed due to the number of simultaneous sessions exceeding the limit of the implementation.", args: []string{}}
}

func refused(action string) *problem {
	return &problem{status: http.StatusBadRequest, id: "ActionNotSupported", message: "The action " + action + " is not supported by the resource.", args: []string{action}}
}
