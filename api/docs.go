package api

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"html/template"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"
)

//go:embed docs.html
var docsPage string

var docsTemplate = template.Must(template.New("docs").Parse(docsPage))

// docs shows the contract to people, on one page that needs nothing from elsewhere.
func (a *API) docs() ([]byte, error) {
	var page bytes.Buffer
	if err := docsTemplate.Execute(&page, a.documentation()); err != nil {
		return nil, fmt.Errorf("render the documentation: %w", err)
	}
	return page.Bytes(), nil
}

type documentation struct {
	Title, Version, Description string
	Tags                        []documentedTag
}

type documentedTag struct {
	Name      string
	Endpoints []documentedEndpoint
}

type documentedEndpoint struct {
	ID, Method, Path, Summary, Description, Curl string
	Inputs, Outputs                              []documentedField
}

type documentedField struct {
	Name, In, Type, Doc string
	Required            bool
}

func (a *API) documentation() documentation {
	o := a.OpenAPI()
	byTag := map[string][]documentedEndpoint{}
	for _, p := range slices.Sorted(maps.Keys(o.Paths)) {
		item := o.Paths[p]
		for _, op := range []*huma.Operation{item.Get, item.Post, item.Put, item.Patch, item.Delete} {
			if op != nil {
				byTag[op.Tags[0]] = append(byTag[op.Tags[0]], a.documentEndpoint(op))
			}
		}
	}
	out := documentation{Title: o.Info.Title, Version: o.Info.Version, Description: o.Info.Description}
	for _, tag := range slices.Sorted(maps.Keys(byTag)) {
		out.Tags = append(out.Tags, documentedTag{tag, byTag[tag]})
	}
	return out
}

func (a *API) documentEndpoint(op *huma.Operation) documentedEndpoint {
	out := documentedEndpoint{ID: op.OperationID, Method: op.Method, Path: op.Path, Summary: op.Summary, Description: op.Description}
	for _, p := range op.Parameters {
		out.Inputs = append(out.Inputs, documentedField{Name: p.Name, In: p.In, Type: a.typeName(p.Schema), Doc: p.Description, Required: p.Required})
	}
	var body any
	if op.RequestBody != nil {
		s := op.RequestBody.Content["application/json"].Schema
		out.Inputs = append(out.Inputs, a.documentFields(s, "body")...)
		body = a.example(s)
	}
	out.Curl = curl(op, body)
	for _, status := range []string{"200", "201", "202"} {
		if r := op.Responses[status]; r != nil && r.Content["application/json"] != nil {
			out.Outputs = a.documentFields(r.Content["application/json"].Schema, "")
		}
	}
	return out
}

// documentFields lists the fields of an object.
func (a *API) documentFields(s *huma.Schema, in string) []documentedField {
	s = a.schema(s)
	var out []documentedField
	for _, name := range slices.Sorted(maps.Keys(s.Properties)) {
		p := s.Properties[name]
		out = append(out, documentedField{Name: name, In: in, Type: a.typeName(p), Doc: p.Description, Required: slices.Contains(s.Required, name)})
	}
	return out
}

// schema follows a reference.
func (a *API) schema(s *huma.Schema) *huma.Schema {
	if s.Ref != "" {
		return a.OpenAPI().Components.Schemas.SchemaFromRef(s.Ref)
	}
	return s
}

// typeName says in a few words what a value is.
func (a *API) typeName(s *huma.Schema) string {
	switch {
	case s.Ref != "":
		return s.Ref[strings.LastIndex(s.Ref, "/")+1:]
	case s.Type == huma.TypeArray:
		return "list of " + a.typeName(s.Items)
	case len(s.Enum) > 0:
		words := make([]string, len(s.Enum))
		for i, v := range s.Enum {
			words[i] = fmt.Sprint(v)
		}
		return strings.Join(words, " | ")
	case s.Format != "" && s.Type == huma.TypeString:
		return s.Format
	}
	return s.Type
}

// example makes a value of the examples of the required fields.
func (a *API) example(s *huma.Schema) any {
	s = a.schema(s)
	if len(s.Examples) > 0 {
		return s.Examples[0]
	}
	if s.Type != huma.TypeObject {
		return nil
	}
	out := map[string]any{}
	for _, name := range s.Required {
		out[name] = a.example(s.Properties[name])
	}
	return out
}

// curl is a command line that calls the endpoint.
func curl(op *huma.Operation, body any) string {
	out := `curl -H "Authorization: Bearer $YUNSHU_TOKEN"`
	if op.Method != http.MethodGet {
		out += " -X " + op.Method
	}
	if body != nil {
		raw, err := json.Marshal(body)
		if err != nil {
			return out // an example that cannot be shown
		}
		out += ` -H "Content-Type: application/json" -d '` + string(raw) + `'`
	}
	return out + ` "$YUNSHU_URL` + op.Path + `"`
}
