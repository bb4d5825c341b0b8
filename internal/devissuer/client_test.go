package devissuer

import (
	"encoding/base64"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

func clientOf(t *testing.T, alg string) *ClientKey {
	t.Helper()
	k, err := NewClientKey(alg)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// halves decodes header and payload of a compact JWS.
func halves(t *testing.T, compact string) (header, payload map[string]any) {
	t.Helper()
	parts := strings.Split(compact, ".")
	for i, into := range []*map[string]any{&header, &payload} {
		b, err := base64.RawURLEncoding.DecodeString(parts[i])
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(b, into); err != nil {
			t.Fatal(err)
		}
	}
	return header, payload
}

func TestProof(t *testing.T) {
	v := vectors(t)
	for _, alg := range []string{"ES256", "EdDSA", "Ed25519", "RS256", "PS256", "ES384", "ES512"} {
		t.Run(alg, func(t *testing.T) {
			k := clientOf(t, alg)
			compact, err := k.Proof(Proof{
				Method: "GET", URL: "https://rs.example.com/a?b=c#d", AccessToken: text(t, v["rfc9449_access_token"]),
				Nonce: "n", ID: "j", IssuedAt: time.Unix(1800000000, 0),
			})
			if err != nil {
				t.Fatal(err)
			}
			header, claims := halves(t, compact)
			var public map[string]any
			if err := json.Unmarshal(k.PublicJWK(), &public); err != nil {
				t.Fatal(err)
			}
			if want := map[string]any{"typ": "dpop+jwt", "alg": alg, "jwk": public}; !reflect.DeepEqual(header, want) {
				t.Errorf("header %v, want %v", header, want)
			}
			want := map[string]any{"htm": "GET", "htu": "https://rs.example.com/a", "jti": "j", "nonce": "n", "iat": 1.8e9, "ath": text(t, v["rfc9449_ath"])}
			if !reflect.DeepEqual(claims, want) {
				t.Errorf("claims %v, want %v", claims, want)
			}
			if !checkSignature(t, alg, publicKey(t, k.PublicJWK()), compact) {
				t.Error("signature does not verify")
			}
		})
	}
}

func TestProofDiffers(t *testing.T) {
	k := clientOf(t, "ES256")
	good := Proof{Method: "POST", URL: "https://as.example.com/token"}
	first, err := k.Proof(good)
	if err != nil {
		t.Fatal(err)
	}
	second, err := k.Proof(good)
	if err != nil {
		t.Fatal(err)
	}
	_, one := halves(t, first)
	_, two := halves(t, second)
	if one["jti"] == two["jti"] || one["jti"] == "" {
		t.Errorf("jti %v after %v", two["jti"], one["jti"])
	}
	if got, want := slices.Sorted(maps.Keys(one)), []string{"htm", "htu", "iat", "jti"}; !slices.Equal(got, want) {
		t.Errorf("claims %v, want %v", got, want)
	}
	good.Header = map[string]any{"typ": "JWT", "jwk": nil}
	good.Claims = map[string]any{"htu": "https://x/?q", "iat": "soon", "jti": nil}
	compact, err := k.Proof(good)
	if err != nil {
		t.Fatal(err)
	}
	header, claims := halves(t, compact)
	if !reflect.DeepEqual(header, map[string]any{"typ": "JWT", "alg": "ES256"}) {
		t.Errorf("header %v", header)
	}
	if !reflect.DeepEqual(claims, map[string]any{"htu": "https://x/?q", "iat": "soon", "htm": "POST"}) {
		t.Errorf("claims %v", claims)
	}
	compact, err = k.Proof(Proof{RawHeader: []byte("{"), RawPayload: []byte("]"), Alg: None})
	if err != nil || compact != "ew.XQ." {
		t.Errorf("raw: %s, %v", compact, err)
	}
}

func TestClientKeyFile(t *testing.T) {
	for _, alg := range []string{"ES256", "ES384", "ES512", "EdDSA", "Ed25519", "PS256"} {
		t.Run(alg, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "client.jwk")
			if err := os.WriteFile(path, []byte("old"), 0o644); err != nil {
				t.Fatal(err)
			}
			k := clientOf(t, alg)
			if err := k.Save(path); err != nil {
				t.Fatal(err)
			}
			info, err := os.Stat(path)
			if err != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("mode %v, %v", info.Mode(), err)
			}
			if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
				t.Errorf("left behind: %v, %v", entries, err)
			}
			loaded, err := LoadClientKey(path)
			if err != nil {
				t.Fatal(err)
			}
			if loaded.Algorithm != alg || loaded.Thumbprint() != k.Thumbprint() {
				t.Errorf("got %s %s, want %s %s", loaded.Algorithm, loaded.Thumbprint(), alg, k.Thumbprint())
			}
			compact, err := loaded.Proof(Proof{})
			if err != nil || !checkSignature(t, alg, k.Signer.Public(), compact) {
				t.Errorf("the loaded key signs otherwise: %v", err)
			}
		})
	}
	k := clientOf(t, "ES256")
	if err := k.Save(filepath.Join(t.TempDir(), "no", "such", "folder")); err == nil {
		t.Error("saved into a folder that is not there")
	}
	if _, err := LoadClientKey(filepath.Join(t.TempDir(), "none")); err == nil {
		t.Error("loaded a file that is not there")
	}
}

func TestParseClientKeyRefuses(t *testing.T) {
	for name, text := range map[string]string{
		"no JSON":         `MYSECRET`,
		"public only":     `{"kty":"EC","crv":"P-256","x":"l8tFrhx-34tV3hRICRDY9zCkDlpBhF42UQUfWVAWBFs","y":"9VE4jf_Ok_o64zbTTlcuNJajHmt6v9TDVrU0CdvGRDA"}`,
		"symmetric":       `{"kty":"oct","k":"MYSECRET"}`,
		"short Ed25519":   `{"kty":"OKP","crv":"Ed25519","d":"MYSECRET"}`,
		"long EC":         `{"kty":"EC","crv":"P-256","d":"` + strings.Repeat("A", 60) + `"}`,
		"padding":         `{"kty":"OKP","crv":"Ed25519","d":"MYSECRET="}`,
		"empty RSA":       `{"kty":"RSA"}`,
		"broken RSA":      `{"kty":"RSA","n":"AQAB","e":"AQAB","d":"AQAB","p":"AQ","q":"AQ"}`,
		"unknown curve":   `{"kty":"EC","crv":"secp256k1","d":"MYSECRET"}`,
		"members no text": `{"kty":1}`,
	} {
		t.Run(name, func(t *testing.T) {
			k, err := ParseClientKey([]byte(text))
			if err == nil {
				t.Fatalf("took it: %s", k.PublicJWK())
			}
			if strings.Contains(err.Error(), "MYSECRET") {
				t.Errorf("the error shows the key: %v", err)
			}
		})
	}
	if _, err := NewClientKey("HS256"); err == nil {
		t.Error("made a key pair for HS256")
	}
}
