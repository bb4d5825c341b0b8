package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/wicketgate/wicketgate/internal/devissuer"
	"github.com/wicketgate/wicketgate/proxy/clientcert"
)

// clientTimeout bounds a question to the demo issuer.
const clientTimeout = 10 * time.Second

type tokenCommand struct {
	Issuer    string        `default:"http://127.0.0.1:8422" help:"The demo issuer."`
	Scope     string        `default:"orders.read" help:"Scopes, separated by spaces."`
	Subject   string        `name:"sub" help:"The user. Default: the issuer's."`
	Audience  string        `name:"aud" help:"For whom the token is. Default: the demo API."`
	ExpiresIn time.Duration `default:"10m" help:"How long it is good for; negative for an expired one." placeholder:"DURATION"`
	Algorithm string        `name:"alg" help:"ES256, RS256, PS256 or EdDSA. Default: the issuer's."`
	Claims    string        `help:"A JSON object laid over the claims; null removes one." placeholder:"JSON"`
	DPoP      bool          `name:"dpop" help:"Bind the token to the client's key (RFC 9449)."`
	Cert      string        `help:"Bind the token to the certificate in this PEM file (RFC 8705)." placeholder:"FILE"`
	Key       string        `help:"The file of the client's key, made when there is none. Default: in the user's cache folder." placeholder:"FILE"`
}

// Help is shown by token --help.
func (tokenCommand) Help() string {
	return "Example: curl -H \"Authorization: Bearer $(wicketgate token --scope orders.read)\" http://127.0.0.1:8420/orders/1"
}

// Run prints an access token and nothing else.
func (t *tokenCommand) Run(a *app) error {
	form := url.Values{
		"grant_type": {devissuer.DemoGrant}, "scope": {t.Scope},
		"expires_in": {strconv.FormatInt(int64(t.ExpiresIn/time.Second), 10)},
	}
	for name, value := range map[string]string{"sub": t.Subject, "aud": t.Audience, "alg": t.Algorithm, "claims": t.Claims} {
		if value != "" {
			form.Set(name, value)
		}
	}
	if t.DPoP {
		key, err := a.clientKey(t.Key)
		if err != nil {
			return err
		}
		form.Set("jkt", key.Thumbprint())
	}
	if t.Cert != "" {
		blocks, err := readBlocks(t.Cert, "CERTIFICATE")
		if err != nil {
			return fmt.Errorf("no certificate from --cert: %w", err)
		}
		form.Set("x5t#S256", clientcert.Thumbprint(blocks[0])) // as with curl --cert, the client's comes first
	}
	raw, err := askToken(a.ctx, t.Issuer, form)
	if err != nil {
		return fmt.Errorf("no token from %s: %w", t.Issuer, err)
	}
	_, err = fmt.Fprintln(a.stdout, raw)
	return err
}

// askToken asks a demo issuer's token endpoint (RFC 6749 section 4.4).
func askToken(ctx context.Context, issuer string, form url.Values) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, clientTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimSuffix(issuer, "/")+"/token", strings.NewReader(form.Encode()))
	if err != nil {
		return "", err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", fmt.Errorf("%w; is wicketgate demo running?", err)
	}
	defer func() { _ = resp.Body.Close() }()
	var answer struct {
		AccessToken string `json:"access_token"`
		Description string `json:"error_description"`
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, 64<<10)).Decode(&answer); err != nil {
		return "", err
	}
	if answer.AccessToken == "" {
		return "", fmt.Errorf("status %d: %s", resp.StatusCode, answer.Description)
	}
	return answer.AccessToken, nil
}

type proofCommand struct {
	Token  string `help:"The access token the proof goes with; its hash becomes ath." required:""`
	Method string `default:"GET" help:"The request's method, htm."`
	URL    string `help:"The request's URL as the client sees it, htu." required:""`
	Nonce  string `help:"The DPoP-Nonce of the last answer that had one. Default: none."`
	Key    string `help:"The file of the client's key. Default: in the user's cache folder." placeholder:"FILE"`
}

// Help is shown by proof --help.
func (proofCommand) Help() string {
	return "Example: wicketgate proof --token \"$TOKEN\" --method GET --url http://127.0.0.1:8420/orders/1"
}

// Run prints a DPoP proof and nothing else.
func (p *proofCommand) Run(a *app) error {
	key, err := a.clientKey(p.Key)
	if err != nil {
		return err
	}
	target, _, _ := strings.Cut(p.URL, "#")
	target, _, _ = strings.Cut(target, "?")
	proof, err := key.Proof(devissuer.Proof{Method: p.Method, URL: target, AccessToken: p.Token, Nonce: p.Nonce})
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(a.stdout, proof)
	return err
}

// clientKey reads the demo client's key, or makes it.
func (a *app) clientKey(path string) (*devissuer.ClientKey, error) {
	if path == "" {
		folder, err := os.UserCacheDir()
		if err != nil {
			return nil, fmt.Errorf("name a file for the client's key with --key: %w", err)
		}
		path = filepath.Join(folder, "wicketgate", "demo-client-key.json")
	}
	key, err := devissuer.LoadClientKey(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return key, err
	}
	if key, err = devissuer.NewClientKey("ES256"); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	return key, key.Save(path)
}
