package decisions

import (
	"strings"
	"testing"
)

const goodLine = `{"v":1,"time":"2026-03-01T12:00:00.000000Z","listener":":8420","resource":"api","route":"a","verdict":"allowed","status":200,"method":"GET",` +
	`"host":"h","path":"/a","source":"192.0.2.1","credential":"verified","caller":{"issuer":"i","iss":"https://i","sub":"s","subject_type":"user",` +
	`"claims":{"groups":["a"],"a\\.b":1},"absent":["gone"],"left_out":["long","acr"]}}`

func TestParse(t *testing.T) {
	l, err := Parse([]byte(goodLine + "\r\n"))
	if err != nil || l.Caller.Sub != "s" || string(l.Caller.Claims["groups"]) != `["a"]` {
		t.Fatalf("%+v, %v", l, err)
	}
	for path, want := range map[string]bool{
		"groups": true, `a\.b`: true, "gone": true, "sub": true, "client_id": true, "act.sub": true,
		"long": false, "acr": false, "other": false, "a": false, "act": false, "scope": false,
	} {
		if l.Caller.Knows(path) != want {
			t.Errorf("%s is known: %v", path, !want)
		}
	}
	l.Caller.From.ClientID = "azp"
	if l.Caller.Knows("client_id") {
		t.Error("client_id is known, though azp was taken for it")
	}
}

func TestParseIsStrict(t *testing.T) {
	for _, c := range []struct{ old, replaced, says string }{
		{`"v":1`, `"v":2`, "another version"},
		{`"v":1,`, ``, "another version"},
		{`"v":1`, `"v":1,"token":"hunter2"`, "a member that no line has"},
		{`"sub":"s"`, `"sub":"s","hunter2":"x"`, "a member that no line has"},
		{`"status":200`, `"status":"hunter2"`, "status is not of its type"},
		{`"allowed"`, `"hunter2"`, "verdict"},
		{`2026-03-01T`, `hunter2`, "another form"},
		{`"allowed"`, `"refused"`, "reason"},
		{`"allowed"`, `"refused","reason":"hunter2"`, "reason"},
		{`"allowed"`, `"allowed","reason":"scope"`, "reason"},
		{`"verified"`, `"none"`, "caller"},
		{`"method":"GET",`, ``, "verdict"},
		{`}}`, `}`, "ends too early"},
		{`}}`, `}}{}`, "more than one"},
		{`{"v"`, `["v"`, "no JSON"},
	} {
		text := strings.Replace(goodLine, c.old, c.replaced, 1)
		_, err := Parse([]byte(text))
		if err == nil || !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s for %s: %v", c.replaced, c.old, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(goodLine))
	f.Fuzz(func(t *testing.T, text []byte) {
		if l, err := Parse(text); err == nil && (l.Version != Version || (l.Caller != nil) != (l.Credential == Verified)) {
			t.Errorf("%s is a line", text)
		}
	})
}
