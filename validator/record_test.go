package validator

import (
	"testing"
	"time"

	"github.com/wicketgate/wicketgate/token"
)

// TestRecorded is of what a record cannot be judged by.
func TestRecorded(t *testing.T) {
	w := newWorld(t, Options{}, 0)
	recorded := w.validator.For(Audience{Any: []string{"https://rs.example.com"}}).Recorded()
	cred := token.Credential{Scheme: token.Bearer, Raw: "written down"}
	claims := func(text string) *token.Object {
		o, err := token.ParseObject(text)
		if err != nil {
			t.Fatal(err)
		}
		return o
	}
	good := `{"iss":"` + issuerName + `","sub":"a","aud":"https://rs.example.com","exp":4102444800,"iat":1700000000,"client_id":"c","jti":"1"}`
	if _, err := recorded.Validate(t.Context(), cred); err == nil {
		t.Error("good without a record")
	}
	for name, row := range map[string]struct {
		text string
		told bool
		want token.Reason
	}{
		"good":                          {good, false, ""},
		"a claim of the wrong type":     {`{"iss":"` + issuerName + `","sub":5}`, false, token.ReasonClaim},
		"another issuer":                {`{"iss":"https://x.example"}`, false, token.ReasonIssuer},
		"opaque, where nobody is asked": {good, true, token.ReasonMalformed},
	} {
		t.Run(name, func(t *testing.T) {
			o := claims(row.text)
			aud, _ := o.Get("aud")
			text, _ := aud.Text()
			rec := &Record{Claims: o, ClientID: "c", Audience: []string{text}, Told: row.told, At: time.Unix(1700000001, 0)}
			trace := &token.Trace{}
			cred.Trace = trace
			_, err := recorded.Validate(WithRecord(t.Context(), rec), cred)
			if got := w.reason(nil, err); got != row.want {
				t.Errorf("refused for %q: %v; want %q", got, err, row.want)
			}
			seen := false
			for _, step := range trace.Steps {
				seen = seen || step.Reason == token.ReasonAudience && step.Seen != ""
			}
			if row.want == "" && !seen {
				t.Errorf("the trace does not say what was looked at: %+v", trace.Steps)
			}
		})
	}
}

// TestAudienceBeforeItIsRead holds the early look at aud to the one at claims that
// were read.
func TestAudienceBeforeItIsRead(t *testing.T) {
	w := newWorld(t, Options{}, 0)
	r := w.validator.For(Audience{Any: []string{"a", "b", ""}})
	for value, want := range map[token.Value]bool{
		`"a"`: true, `"c"`: false, `["c","b"]`: true, `["c"]`: false, `[]`: false, `["a",1]`: false, `[1,"a"]`: false, `[null,"a"]`: false,
		``: false, `5`: false, `null`: false, `{"a":"a"}`: false, `[["a"]]`: false,
	} {
		if got := r.acceptsClaim(w.validator.issuers[issuerName], value); got != want {
			t.Errorf("%s: %t, want %t", value, got, want)
		}
	}
}
