package main

import (
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"

	"github.com/wicketgate/wicketgate/internal/admin"
	"github.com/wicketgate/wicketgate/internal/devissuer"
	"github.com/wicketgate/wicketgate/token"
)

// playgroundPath is where the page is at the gate.
const playgroundPath = "/playground"

//go:embed demo_page.html
var playgroundFile string

// playground is the page of a running demo: one file with its markup, style and
// script. The gate forwards to it as to any upstream, so that its requests have the
// gate's own origin.
type playground struct {
	hosts        []string // of the gate: asked for by another name, it is not there
	text, policy string
}

// playgroundSettings is what the page's script is told.
type playgroundSettings struct {
	Issuer  string `json:"issuer"`
	Ask     string `json:"ask"` // where the program asks the issuer, if it would not by itself
	Grant   string `json:"grant"`
	Program string `json:"program"` // how it is called in a shell
	Missing string `json:"missing"` // what a bare 401 does not say

	// Checks are those that can decide, by the text of their answer: several have
	// one on purpose.
	Checks map[string][]playgroundCheck `json:"checks"`
}

type playgroundCheck struct {
	Check   string `json:"check"`
	Spec    string `json:"spec"`
	Setting string `json:"setting"`
}

func newPlayground(hosts []string, issuer, program string) (*playground, error) {
	asked := strings.Replace(issuer, "//[::1]", "//localhost", 1) // the policy has no way to write an IPv6 address
	settings := playgroundSettings{
		Issuer: asked, Ask: issuer, Grant: devissuer.DemoGrant, Program: program, Checks: make(map[string][]playgroundCheck),
	}
	if issuer == demoIssuer {
		settings.Ask = ""
	}
	for _, r := range token.Reasons {
		if about, found := rules[r.Reason]; found {
			settings.Checks[r.Description] = append(settings.Checks[r.Description], playgroundCheck{about.check, about.spec, about.setting})
		}
		if r.Reason == token.ReasonMissing {
			settings.Missing = r.Description
		}
	}
	text, err := json.Marshal(settings) // in which no "<" is left
	if err != nil {
		return nil, err
	}
	script, errScript := hashOf("script")
	style, errStyle := hashOf("style")
	return &playground{
		hosts: hosts, text: strings.Replace(playgroundFile, "{{settings}}", string(text), 1),
		policy: "default-src 'none'; script-src " + script + "; style-src " + style + "; img-src data:; connect-src 'self' " + asked +
			"; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
	}, errors.Join(errScript, errStyle)
}

// hashOf is the source expression for the one element of a kind in the page
// (Content Security Policy Level 3, section 2.3.1).
func hashOf(element string) (string, error) {
	_, after, opened := strings.Cut(playgroundFile, "<"+element+">")
	text, _, closed := strings.Cut(after, "</"+element+">")
	if !opened || !closed {
		return "", fmt.Errorf("the playground has no %s", element)
	}
	sum := sha256.Sum256([]byte(text))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'", nil
}

// ServeHTTP serves the page, to those who came to it through the gate.
func (p *playground) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !slices.Contains(p.hosts, r.Host) {
		admin.Text(w, http.StatusMisdirectedRequest, "The playground is at http://"+p.hosts[0]+playgroundPath+"\n")
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", p.policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Cache-Control", "no-store")
	_, _ = io.WriteString(w, p.text) // a client that has gone needs no answer
}
