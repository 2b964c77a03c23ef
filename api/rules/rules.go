// Package rules decides by the rules of groups which machines belong to them. A rule is an expression over a machine's
// facts that is true for those that do. The package does no I/O.
package rules

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/parser/lexer"
	"github.com/expr-lang/expr/vm"
)

// What a rule may cost at most. Every rule is asked about every machine of its region.
const (
	MaxLength = 2000 // characters
	maxNodes  = 300
)

// Functions that a rule may call. All of them take no longer than their list is long.
var functions = []string{"all", "any", "none", "one", "count", "len", "lower", "upper"}

// Rule is a rule that was understood. It may be used by several goroutines.
type Rule struct {
	program *vm.Program
	uses    []string
}

// Uses lists the facts that the rule looks at, such as gpu and rack, in alphabetical order.
func (r *Rule) Uses() []string { return r.uses }

// Error says where and why a rule is not understood.
type Error struct {
	Line, Column int // from 1
	Reason       string
}

// Error is a sentence without its end, for the list of what is wrong with a request.
func (e *Error) Error() string {
	return fmt.Sprintf("line %d, column %d: %s", e.Line, e.Column, e.Reason)
}

// compiled keeps rules that were understood: the same few are asked again and again.
var compiled struct {
	sync.Mutex
	rules map[string]*Rule
}

// mostCompiled bounds what is kept. Beyond it, everything is forgotten and learnt anew.
const mostCompiled = 1000

// Compile understands a rule. The error is an *Error.
func Compile(source string) (*Rule, error) {
	compiled.Lock()
	defer compiled.Unlock()
	if r := compiled.rules[source]; r != nil {
		return r, nil
	}
	r, err := compile(source)
	if err != nil {
		return nil, err
	}
	if compiled.rules == nil || len(compiled.rules) >= mostCompiled {
		compiled.rules = map[string]*Rule{}
	}
	compiled.rules[source] = r
	return r, nil
}

func compile(source string) (*Rule, error) {
	if n := len([]rune(source)); n > MaxLength {
		return nil, located(source, MaxLength, fmt.Sprintf("the rule is longer than %d characters", MaxLength))
	}
	text, inserted, err := spellEquality(source)
	if err != nil {
		return nil, explained(source, nil, err)
	}
	look := &inspector{}
	options := []expr.Option{expr.Env(Machine{}), expr.AsBool(), expr.MaxNodes(maxNodes), expr.Patch(look), expr.DisableAllBuiltins(), expr.DisableIfOperator()}
	for _, name := range functions {
		options = append(options, expr.EnableBuiltin(name))
	}
	program, err := expr.Compile(text, options...)
	if look.refusal != nil { // is nearer to what people meant than what the compiler says of it
		err = look.refusal
	}
	if err != nil {
		return nil, explained(source, inserted, err)
	}
	slices.Sort(look.uses)
	return &Rule{program: program, uses: slices.Compact(look.uses)}, nil
}

// spellEquality writes a single = as ==, which is all that it can mean: a rule assigns nothing. It returns where it
// inserted characters, as offsets in its result. Texts and longer operators are left alone, because the language's own
// lexer says what is which.
func spellEquality(source string) (text string, inserted []int, err error) {
	tokens, err := lexer.Lex(file.NewSource(source))
	if err != nil {
		return "", nil, err
	}
	runes := []rune(source)
	var out strings.Builder
	written := 0
	for _, t := range tokens {
		if t.Kind != lexer.Operator || t.Value != "=" {
			continue
		}
		out.WriteString(string(runes[written:t.From]) + "=")
		inserted = append(inserted, t.From+len(inserted))
		written = t.From
	}
	return out.String() + string(runes[written:]), inserted, nil
}

// explained turns an error of the language into one of ours, at the place in what was written.
func explained(source string, inserted []int, err error) *Error {
	var at *file.Error
	if !errors.As(err, &at) {
		return located(source, 0, reason(err.Error()))
	}
	offset := at.From
	for _, i := range slices.Backward(inserted) {
		if offset > i {
			offset--
		}
	}
	return located(source, offset, reason(at.Message))
}

// reason is the first line of what the language says: the others draw the place.
func reason(message string) string {
	line, _, _ := strings.Cut(message, "\n")
	switch {
	case strings.HasPrefix(line, "unknown name "):
		return "there is no fact or function named " + strings.TrimPrefix(line, "unknown name ")
	case strings.HasPrefix(line, "expected bool, but got "):
		return "a rule must be true or false; this one is of type " + strings.TrimPrefix(line, "expected bool, but got ")
	case strings.Contains(line, "exceeds maximum allowed nodes"):
		return fmt.Sprintf("the rule has more than %d parts; make it simpler", maxNodes)
	case strings.HasPrefix(line, "unexpected token EOF"):
		return "the rule ends too early"
	}
	return line
}

// located finds line and column of an offset in runes.
func located(source string, offset int, reason string) *Error {
	e := &Error{Line: 1, Column: 1, Reason: reason}
	for i, r := range []rune(source) {
		if i >= offset {
			break
		}
		e.Column++
		if r == '\n' {
			e.Line, e.Column = e.Line+1, 1
		}
	}
	return e
}
