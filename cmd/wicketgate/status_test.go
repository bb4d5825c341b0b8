package main

import (
	"strings"
	"testing"

	"github.com/wicketgate/wicketgate/internal/devissuer"
	"github.com/wicketgate/wicketgate/token"
)

// asked makes the issuer of a listing answer about tokens too.
func asked(t *testing.T, mode string, edits ...func(string) string) *listing {
	t.Helper()
	o := devissuer.Options{Clients: []devissuer.Client{{ID: "gate", Secret: gateSecret}}}
	secret := &introspecting{dir: t.TempDir()}
	secret.write("secret", gateSecret)
	return newListingOf(t, o, "", func(text string) string {
		for _, edit := range edits {
			text = edit(text)
		}
		return instead(t, text, "{name: a, ", `{name: a, introspection: {client_id: gate, mode: `+mode+`, cache: 0s, client_secret_file: "`+secret.dir+`/secret"}, `)
	})
}

// TestStatusOfOpaqueTokens: what an issuer tells of an opaque token names lists
// by the same rules.
func TestStatusOfOpaqueTokens(t *testing.T) {
	l := asked(t, "opaque")
	l.passes(t, l.opaque(l.at(0)))
	l.passes(t, l.opaque(nil))
	l.refuses(t, token.ReasonStatusRevoked, map[string]string{"revoked": l.opaque(l.at(1)), "suspended": l.opaque(l.at(2))})
	l.refuses(t, token.ReasonStatusReference, map[string]string{"text": l.opaque(changes{"status": "active"}), "beyond": l.opaque(l.at(16))})
	l.wantFetches(t, 1)
}

// TestStatusInAnswersAboutJWTs: a JWT that names no list may have one named by
// the answer about it. One that is revoked by its list is not asked about.
func TestStatusInAnswersAboutJWTs(t *testing.T) {
	l := asked(t, "jwt")
	l.passes(t, l.AT(l.at(0)))
	before := l.questions()
	l.repels(t, l.sendToken(l.AT(l.at(1))), badToken, token.ReasonStatusRevoked)
	l.wantQuestions(t, before, 0)
	raw := l.AT(nil)
	l.a.Say(raw, []byte(`{"active":true,"status":{"status_list":{"idx":1,"uri":"`+l.uri+`"}}}`))
	l.repels(t, l.sendToken(raw), badToken, token.ReasonStatusRevoked)
}

// TestStatusNotConfigured: until the file says where lists are, nobody looks.
func TestStatusNotConfigured(t *testing.T) {
	f := newFixture(t, nil)
	uri := f.a.SetStatusList(listPath, devissuer.StatusList{Statuses: []uint8{1}})
	raw := f.AT(changes{"status": changes{"status_list": changes{"idx": 0, "uri": uri}}})
	wantPassed(t, f.do("GET", "/read", "Authorization", "Bearer "+raw))
	if n := f.a.Hits(listPath); n != 0 {
		t.Errorf("the list was fetched %d times", n)
	}
	if out := explainText(t, f.gateway.path, raw); !strings.Contains(out, "not looked at: issuers[].status_list is not set") {
		t.Errorf("explain says\n%s", out)
	}
}

func TestExplainStatus(t *testing.T) {
	l := newListing(t, "")
	for raw, parts := range map[string][]string{
		l.AT(l.at(0)):  {"ok    status claim", "ok    status list", "status 0 at index 0 of " + l.uri, "forwarded to"},
		l.AT(l.at(1)):  {"FAIL  status list", "status 1 at index 1", "issuers[].status_list.accept", "401 Unauthorized"},
		l.AT(l.at(16)): {"FAIL  status claim", `"idx":16`, "beyond the end", "401 Unauthorized"},
		l.AT(l.at(-1)): {"FAIL  status claim", "issuers[].status_list.allow", "status_list.idx is no integer"},
		l.AT(changes{"status": changes{"status_list": changes{"idx": 0, "uri": l.uri + "0"}}}): {"FAIL  status list", "503 Service Unavailable", "status 404, want 200"},
		l.AT(nil): {"forwarded to"},
	} {
		out := explainText(t, l.gateway.path, raw)
		for _, part := range parts {
			if !strings.Contains(out, part) {
				t.Errorf("%q is not in:\n%s", part, out)
			}
		}
	}
}
