package main

import (
	"fmt"
	"net/url"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
)

// addFlags gives a command a flag for each field.
func (a *app) addFlags(cmd *cobra.Command, fields []field) {
	for _, f := range fields {
		if cmd.Flags().Lookup(f.flag) != nil {
			continue
		}
		switch f.kind {
		case truth:
			cmd.Flags().Bool(f.flag, false, f.help)
		case texts, pairs, amounts, places:
			cmd.Flags().StringArray(f.flag, nil, f.help)
		default:
			cmd.Flags().String(f.flag, "", f.help)
		}
		if f.complete != "" {
			// It fails only for a flag that does not exist.
			_ = cmd.RegisterFlagCompletionFunc(f.flag, a.completeNames(f.complete))
		}
	}
}

// body makes the JSON body from the flags that were given.
func body(cmd *cobra.Command, fields []field) (map[string]any, error) {
	out := map[string]any{}
	for _, f := range fields {
		if !cmd.Flags().Changed(f.flag) {
			continue
		}
		v, err := value(cmd, f)
		if err != nil {
			return nil, fmt.Errorf("--%s: %w", f.flag, err)
		}
		if f.kind == places {
			before, after, _ := strings.Cut(f.path, "*")
			for name, text := range v.(map[string]any) {
				put(out, before+name+after, text)
			}
			continue
		}
		put(out, f.path, v)
	}
	return out, nil
}

// put sets a value in nested objects.
func put(into map[string]any, path string, v any) {
	head, rest, nested := strings.Cut(path, ".")
	if !nested {
		into[head] = v
		return
	}
	inner, ok := into[head].(map[string]any)
	if !ok {
		inner = map[string]any{}
		into[head] = inner
	}
	put(inner, rest, v)
}

func value(cmd *cobra.Command, f field) (any, error) {
	switch f.kind {
	case truth:
		return cmd.Flags().GetBool(f.flag)
	case texts:
		return cmd.Flags().GetStringArray(f.flag)
	case pairs, amounts, places:
		given, err := cmd.Flags().GetStringArray(f.flag)
		if err != nil {
			return nil, err
		}
		return object(given, f.kind)
	}
	given, err := cmd.Flags().GetString(f.flag)
	if err != nil {
		return nil, err
	}
	switch f.kind {
	case number:
		n, err := strconv.ParseInt(given, 10, 64)
		if err != nil {
			return nil, fmt.Errorf("%q is not a whole number", given)
		}
		return n, nil
	case decimal:
		n, err := strconv.ParseFloat(given, 64)
		if err != nil {
			return nil, fmt.Errorf("%q is not a number", given)
		}
		return n, nil
	}
	return given, nil
}

// object reads name=value flags.
func object(given []string, k kind) (map[string]any, error) {
	out := map[string]any{}
	for _, g := range given {
		name, v, found := strings.Cut(g, "=")
		if !found {
			return nil, fmt.Errorf("%q is not of the form name=value", g)
		}
		switch {
		case k != amounts:
			out[name] = v
		case v == "none":
			out[name] = nil
		default:
			n, err := strconv.ParseInt(v, 10, 64)
			if err != nil {
				return nil, fmt.Errorf("%q is not a whole number, nor none", v)
			}
			out[name] = n
		}
	}
	return out, nil
}

// query makes URL parameters from the filters that were given.
func query(cmd *cobra.Command, filters []field) url.Values {
	out := url.Values{}
	for _, f := range filters {
		if flag := cmd.Flags().Lookup(f.flag); flag != nil && flag.Changed {
			out.Set(f.path, flag.Value.String())
		}
	}
	return out
}
