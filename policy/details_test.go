package policy

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
)

const (
	noDetails  = "forbidden authorization_details"
	badDetails = "invalid_token claim"
)

func TestDetailsMalformed(t *testing.T) {
	r := routeOf(t, Options{Details: []Detail{{Type: "payment"}}}, Resource{})
	for value, want := range map[string]string{
		`[{"type":"payment"}]`:                                "",
		`[{"type":"unknown"},{"type":"payment"}]`:             "",
		`[ { "type" : "\u0070ayment" } ]`:                     "",
		`[{"type":"payment","actions":"odd","identifier":1}]`: "",
		`[]`:                                     noDetails,
		`[{"type":"unknown"}]`:                   noDetails,
		`[{"type":"Payment"}]`:                   noDetails,
		`[{"type":"payment "}]`:                  noDetails,
		`[{"type":""}]`:                          noDetails,
		`[{"Type":"payment"}]`:                   badDetails,
		`"payment"`:                              badDetails,
		`{"type":"payment"}`:                     badDetails,
		`"[{\"type\":\"payment\"}]"`:             badDetails,
		`null`:                                   badDetails,
		`1`:                                      badDetails,
		`true`:                                   badDetails,
		`[{}]`:                                   badDetails,
		`[null]`:                                 badDetails,
		`["payment"]`:                            badDetails,
		`[[{"type":"payment"}]]`:                 badDetails,
		`[{"type":null}]`:                        badDetails,
		`[{"type":["payment"]}]`:                 badDetails,
		`[{"type":1}]`:                           badDetails,
		`[{"type":"payment"},{}]`:                badDetails,
		`[{"type":"payment"},"x"]`:               badDetails,
		`[{"type":"payment"},{"actions":["a"]}]`: badDetails,
	} {
		wantAnswer(t, r, `"authorization_details":`+value, want)
	}
	wantAnswer(t, r, ``, noDetails)
	wantAnswer(t, r, `"act":{"authorization_details":[{"type":"payment"}]}`, noDetails)
}

func TestDetails(t *testing.T) {
	const here, alias, elsewhere = "https://rs.example.com", "urn:api", "https://other.example.com"
	resource := Resource{Identifiers: []string{here, alias}}
	plain := Detail{Type: "payment"}
	whole := Detail{
		Type: "payment", Actions: []string{"initiate", "cancel"}, Locations: []string{here + "/payments"}, DataTypes: []string{"balance"},
		Privileges: []string{"admin"}, Identifier: "account-1",
	}
	const all = `"type":"payment","actions":["x","cancel","initiate"],"locations":["https://rs.example.com/payments"],"datatypes":["balance"],` +
		`"privileges":["admin"],"identifier":"account-1","other":{"actions":[]}`
	without := func(part, instead string) string {
		text := strings.Replace("[{"+all+"}]", part, instead, 1)
		if text == "[{"+all+"}]" {
			t.Fatal(part)
		}
		return text
	}
	for _, row := range []struct {
		name    string
		details []Detail
		value   string
		want    string
	}{
		{"all in one element", []Detail{whole}, `[{` + all + `}]`, ""},
		{"in the second element", []Detail{whole}, `[{"type":"payment"},{` + all + `}]`, ""},
		{"the second rule", []Detail{{Type: "account"}, plain}, `[{"type":"payment"}]`, ""},
		{"another type", []Detail{whole}, without(`"type":"payment"`, `"type":"account"`), noDetails},
		{"an action missing", []Detail{whole}, without(`"cancel",`, ``), noDetails},
		{"an action in other letters", []Detail{whole}, without(`"cancel"`, `"Cancel"`), noDetails},
		{"no actions", []Detail{whole}, without(`"actions":["x","cancel","initiate"],`, ``), noDetails},
		{"actions as text", []Detail{whole}, without(`["x","cancel","initiate"]`, `"initiate cancel"`), noDetails},
		{"actions with a number", []Detail{whole}, without(`["x",`, `[1,`), noDetails},
		{"another location", []Detail{whole}, without(`rs.example.com/payments`, `other.example.com/payments`), noDetails},
		{"the resource instead of the location", []Detail{whole}, without(`/payments`, ``), noDetails},
		{"no locations where the rule lists one", []Detail{whole}, without(`"locations":["https://rs.example.com/payments"],`, ``), noDetails},
		{"no datatypes", []Detail{whole}, without(`"datatypes":["balance"],`, ``), noDetails},
		{"other privileges", []Detail{whole}, without(`["admin"]`, `["administrator"]`), noDetails},
		{"another identifier", []Detail{whole}, without(`account-1`, `account-10`), noDetails},
		{"identifier in a list", []Detail{whole}, without(`"account-1"`, `["account-1"]`), noDetails},
		{"no identifier", []Detail{whole}, without(`"identifier":"account-1",`, ``), noDetails},
		{"split over two elements", []Detail{{Type: "payment", Actions: []string{"a"}, Locations: []string{here}}},
			`[{"type":"payment","actions":["a"]},{"type":"payment","locations":["` + here + `"]}]`, noDetails},
		{"split over two elements the other way", []Detail{{Type: "payment", Actions: []string{"a", "b"}}},
			`[{"type":"payment","actions":["a"]},{"type":"payment","actions":["b"]}]`, noDetails},
		{"nested", []Detail{plain}, `[{"type":"x","inner":{"type":"payment"}}]`, noDetails},

		{"here", []Detail{plain}, `[{"type":"payment","locations":["` + here + `"]}]`, ""},
		{"here by another name", []Detail{plain}, `[{"type":"payment","locations":["` + elsewhere + `","` + alias + `"]}]`, ""},
		{"elsewhere", []Detail{plain}, `[{"type":"payment","locations":["` + elsewhere + `"]}]`, noDetails},
		{"here with a slash", []Detail{plain}, `[{"type":"payment","locations":["` + here + `/"]}]`, noDetails},
		{"nowhere", []Detail{plain}, `[{"type":"payment","locations":[]}]`, noDetails},
		{"location as text", []Detail{plain}, `[{"type":"payment","locations":"` + here + `"}]`, noDetails},
		{"location as null", []Detail{plain}, `[{"type":"payment","locations":null}]`, noDetails},
		{"locations with a number", []Detail{plain}, `[{"type":"payment","locations":["` + here + `",1]}]`, noDetails},
		{"elsewhere, then here", []Detail{plain}, `[{"type":"payment","locations":["` + elsewhere + `"]},{"type":"payment"}]`, ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			wantAnswer(t, routeOf(t, Options{Details: row.details}, resource), `"authorization_details":`+row.value, row.want)
		})
	}
}

// naive decides about details as encoding/json reads them. The malformed ones
// of TestDetailsMalformed it has no answer for.
func naive(t *testing.T, details []Detail, identifiers []string, value string) string {
	t.Helper()
	var elements []map[string]any
	if json.Unmarshal([]byte(value), &elements) != nil || elements == nil {
		return badDetails
	}
	for _, e := range elements {
		if _, ok := e["type"].(string); !ok {
			return badDetails
		}
	}
	texts := func(v any) []string {
		list, _ := v.([]any)
		out := []string{}
		for _, one := range list {
			text, ok := one.(string)
			if !ok {
				return nil
			}
			out = append(out, text)
		}
		return out
	}
	holds := func(e map[string]any, name string, want []string) bool {
		return !slices.ContainsFunc(want, func(w string) bool { return !slices.Contains(texts(e[name]), w) })
	}
	for _, e := range elements {
		for _, d := range details {
			locations, placed := e["locations"]
			here := !placed || len(d.Locations) > 0 || slices.ContainsFunc(identifiers, func(i string) bool { return slices.Contains(texts(locations), i) })
			if e["type"] == d.Type && (d.Identifier == "" || e["identifier"] == d.Identifier) && here &&
				holds(e, "actions", d.Actions) && holds(e, "locations", d.Locations) && holds(e, "datatypes", d.DataTypes) && holds(e, "privileges", d.Privileges) {
				return ""
			}
		}
	}
	return noDetails
}

// FuzzDetails holds the matcher against a naive one over encoding/json.
func FuzzDetails(f *testing.F) {
	for _, value := range []string{
		`[{"type":"p","actions":["a","b"],"locations":["r"],"datatypes":["d"],"privileges":["v"],"identifier":"i"}]`,
		`[{"type":"p"},{"type":"q","locations":["r","s"]}]`, `[]`, `{}`, `[{}]`, `[{"type":1}]`, `[{"type":"p","actions":"a"}]`, `null`,
		`[{"type":"p","locations":[]}]`, `[{"type":"p","locations":["s"]},{"type":"p","actions":["a"]}]`, `[{"type":"\u0070","actions":["\u0061"]}]`,
	} {
		f.Add(value, "p", "a", "", "", "", "")
		f.Add(value, "p", "a b", "s", "d", "v", "i")
		f.Add(value, "q", "", "r s", "", "", "")
	}
	f.Fuzz(func(t *testing.T, value, kind, actions, locations, dataTypes, privileges, identifier string) {
		if kind == "" || len(value) > 4096 || !json.Valid([]byte(value)) { // one value, not the end of it and another member
			return
		}
		p, ok := tryCaller(`{"authorization_details":` + value + `}`)
		if !ok {
			return
		}
		details := []Detail{{
			Type: kind, Actions: strings.Fields(actions), Locations: strings.Fields(locations), DataTypes: strings.Fields(dataTypes),
			Privileges: strings.Fields(privileges), Identifier: identifier,
		}}
		resource := Resource{Identifiers: []string{"r"}}
		got, want := answerOf(routeOf(t, Options{Details: details}, resource).Authorize(&Request{}, p, t0)), naive(t, details, resource.Identifiers, value)
		if got != want {
			t.Errorf("%s by %+v: got %q, want %q", value, details, got, want)
		}
	})
}
