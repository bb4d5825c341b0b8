package main

import (
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestFlags(t *testing.T) {
	for line, want := range map[string]any{
		"check":                                  &checkCommand{},
		"check --config f --live":                &checkCommand{Config: "f", Live: true},
		"check --live --config=f --strict":       &checkCommand{Config: "f", Live: true, Strict: true},
		"check --live=false --strict=true":       &checkCommand{Strict: true},
		"check -c f":                             &checkCommand{Config: "f"},
		"check -cf":                              &checkCommand{Config: "f"},
		"check -c=f --strict":                    &checkCommand{Config: "f", Strict: true},
		"check -config f":                        &checkCommand{Config: "f"},
		"check --config a=b --config=c=d":        &checkCommand{Config: "c=d"},
		"check --config=":                        &checkCommand{},
		"--config f":                             &serveCommand{Config: "f"},
		"-c f":                                   &serveCommand{Config: "f"},
		"serve -c f":                             &serveCommand{Config: "f"},
		"explain -H A:1,2 --header B:3 -HC:":     &explainCommand{Method: "GET", Header: []string{"A:1,2", "B:3", "C:"}},
		"explain --dpop p --method=POST":         &explainCommand{Method: "POST", Proof: "p"},
		"proof --nonce -a --token --t --url u":   &proofCommand{Token: "--t", Method: "GET", URL: "u", Nonce: "-a"},
		"revoke --jti -cab --issued-before now":  &revokeCommand{Jti: new("-cab"), IssuedBefore: new("now")},
		"healthcheck --wait 90s --url=http://a/": &healthcheckCommand{URL: "http://a/", Wait: 90 * time.Second},
		"healthcheck":                            &healthcheckCommand{Wait: 3 * time.Second},
		"token --expires-in -5m --dpop --scope=": &tokenCommand{Issuer: "http://127.0.0.1:8422", ExpiresIn: -5 * time.Minute, DPoP: true},
	} {
		t.Run(line, func(t *testing.T) {
			c, args, err := choose(commands(), strings.Fields(line))
			if err != nil {
				t.Fatal(err)
			}
			if help, err := c.parse(args); err != nil || help != "" {
				t.Fatal(err, help)
			}
			if !reflect.DeepEqual(c.does, want) {
				t.Errorf("%+v, want %+v", c.does, want)
			}
		})
	}
}

// TestManyWaysToHelp: what is asked for shows wherever the question stands.
func TestManyWaysToHelp(t *testing.T) {
	for line, want := range map[string]string{
		"--help": "--help", "-h": "--help", "help": "--help", "help help": "",
		"help proof": "proof --help", "proof -h": "proof --help", "proof --token x --help": "proof --help", "check -c --help": "",
		"-c f --help": "serve --help", "help check --nonsense": "",
	} {
		o := command(t, strings.Fields(line)...)
		if want == "" {
			o.want(t, exitUsage)
		} else if o.want(t, exitOK); o.stdout != command(t, strings.Fields(want)...).stdout {
			t.Errorf("%s shows\n%s", line, o.stdout)
		}
	}
}

// TestHelpFits: 80 columns, but for lines to copy.
func TestHelpFits(t *testing.T) {
	for _, c := range commands() {
		o := command(t, "help", c.name)
		o.want(t, exitOK, c.name, "-h, --help")
		for line := range strings.Lines(o.stdout) {
			if len(line) > helpWidth+1 && !strings.HasPrefix(line, "Example:") {
				t.Errorf("%d columns: %s", len(line)-1, line)
			}
		}
	}
}
