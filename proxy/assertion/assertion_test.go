package assertion

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/wicketgate/wicketgate/internal/signer"
	"github.com/wicketgate/wicketgate/jwks"
	"github.com/wicketgate/wicketgate/token"
)

func newKey(t testing.TB, alg string) *signer.Key {
	t.Helper()
	k, err := signer.New(alg)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func newSigner(t testing.TB, change func(*Options)) *Signer {
	t.Helper()
	o := Options{Keys: []*signer.Key{newKey(t, "ES256")}, Issuer: "https://gate.example.com", Audience: "up", Lifetime: time.Minute}
	if change != nil {
		change(&o)
	}
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func caller(t testing.TB, claims string) *token.Principal {
	t.Helper()
	o, err := token.ParseObject(claims)
	if err != nil {
		t.Fatal(err)
	}
	c, err := token.ReadClaims(o)
	if err != nil {
		t.Fatal(err)
	}
	return &token.Principal{Claims: c, Scope: token.Scopes{"read", "write"}, Until: c.Expiry.Add(30 * time.Second)}
}

var noon = time.Unix(1_800_000_000, 0)

// open verifies an assertion as an upstream does and returns what it says.
func open(t testing.TB, s *Signer, text string) (header, payload map[string]any) {
	t.Helper()
	parts := strings.Split(text, ".")
	if len(parts) != 3 {
		t.Fatalf("%q", text)
	}
	key := s.Keys()[0]
	public, err := jwks.ParseProofKey("{" + key.Members() + "}")
	if err != nil {
		t.Fatal(err)
	}
	signature, err := base64.RawURLEncoding.DecodeString(parts[2])
	if err != nil || public.Verify(key.Algorithm(), parts[0]+"."+parts[1], signature) != nil {
		t.Fatalf("the signature does not hold: %v", err)
	}
	for i, to := range []*map[string]any{&header, &payload} {
		part, err := base64.RawURLEncoding.DecodeString(parts[i])
		if err != nil || json.Unmarshal(part, to) != nil {
			t.Fatalf("%q, %v", part, err)
		}
	}
	return header, payload
}

func assert(t testing.TB, s *Signer, p *token.Principal, now time.Time) string {
	t.Helper()
	text, err := s.Assert(p, Request{Method: "GET", Target: "/a?b"}, now)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// TestSays: what an assertion says, for every algorithm.
func TestSays(t *testing.T) {
	for _, alg := range []string{"ES256", "EdDSA", "RS256", "PS256"} {
		s := newSigner(t, func(o *Options) {
			o.Keys, o.Claims = []*signer.Key{newKey(t, alg)}, []string{"email", "iss", "exp"}
		})
		p := caller(t, `{"iss":"https://as.example.com","sub":"\"zoë\\","client_id":"app","exp":1900000000,"email":"a@b.c","aud":"x"}`)
		p.Binding = token.BoundDPoP | token.BoundMTLS
		header, payload := open(t, s, assert(t, s, p, noon))
		want := `{"aud":"up","binding":"dpop mtls","claims":{"email":"a@b.c","exp":1900000000,"iss":"https://as.example.com"},"client_id":"app",` +
			`"exp":1800000060,"iat":1800000000,"iss":"https://gate.example.com","scope":"read write","sub":"\"zoë\\","sub_type":"user","token_iss":"https://as.example.com"}`
		payload["exp"], payload["iat"] = json.Number(fmt.Sprintf("%.0f", payload["exp"])), json.Number(fmt.Sprintf("%.0f", payload["iat"]))
		if got, _ := json.Marshal(payload); string(got) != want {
			t.Errorf("%s: got %s\nwant %s", alg, got, want)
		}
		if header["typ"] != Type || header["alg"] != alg || header["kid"] != s.Keys()[0].Thumbprint() || len(header) != 3 {
			t.Errorf("%s: header %v", alg, header)
		}
	}
	s := newSigner(t, func(o *Options) { o.Claims = []string{"email"} })
	if _, payload := open(t, s, assert(t, s, caller(t, `{"client_id":"job"}`), noon)); payload["claims"] != nil || payload["sub"] != nil || payload["sub_type"] != "client" {
		t.Errorf("of a machine: %v", payload)
	}
}

// TestEnds: no assertion outlives its token, unless that is in its leeway.
func TestEnds(t *testing.T) {
	s := newSigner(t, nil)
	for _, row := range []struct{ tokenEnds, want int64 }{{3600, 60}, {60, 60}, {59, 59}, {1, 1}, {0, 30}, {-10, 20}} {
		p := caller(t, fmt.Sprintf(`{"exp":%d}`, noon.Unix()+row.tokenEnds))
		_, payload := open(t, s, assert(t, s, p, noon))
		if got := int64(payload["exp"].(float64)) - noon.Unix(); got != row.want {
			t.Errorf("a token of %d more seconds: an assertion of %d, want %d", row.tokenEnds, got, row.want)
		}
	}
	endless := &token.Principal{Claims: caller(t, `{"sub":"a"}`).Claims}
	if _, payload := open(t, s, assert(t, s, endless, noon)); int64(payload["exp"].(float64)) != noon.Unix()+60 {
		t.Errorf("of a token without an end: %v", payload["exp"])
	}
}

// TestUsedAgain: for half its life, for nobody else, and never with the clock
// set back.
func TestUsedAgain(t *testing.T) {
	s := newSigner(t, func(o *Options) { o.Claims = []string{"email"} })
	const claims = `{"iss":"https://as.example.com","sub":"a","client_id":"app","exp":1900000000,"email":"x"}`
	p := caller(t, claims)
	first := assert(t, s, p, noon)
	for _, row := range []struct {
		after time.Duration
		same  bool
	}{{0, true}, {29 * time.Second, true}, {-time.Second, false}} {
		if got := assert(t, s, caller(t, claims), noon.Add(row.after)); (got == first) != row.same {
			t.Errorf("after %v: the same is %v", row.after, !row.same)
		}
	}
	now := noon.Add(10 * time.Minute)
	first = assert(t, s, p, now)
	if assert(t, s, p, now.Add(30*time.Second)) == first {
		t.Error("used again in its second half")
	}
	now = noon.Add(20 * time.Minute)
	first = assert(t, s, p, now)
	for name, other := range map[string]*token.Principal{
		"subject": caller(t, strings.Replace(claims, `"a"`, `"b"`, 1)), "client": caller(t, strings.Replace(claims, "app", "apq", 1)),
		"issuer": caller(t, strings.Replace(claims, "as.", "at.", 1)), "claim": caller(t, strings.Replace(claims, `"x"`, `"y"`, 1)),
		"end": caller(t, strings.Replace(claims, "19", "18", 1)),
	} {
		if assert(t, s, other, now) == first {
			t.Errorf("serves one with another %s", name)
		}
	}
	p.Scope = token.Scopes{"read"}
	if assert(t, s, p, now) == first {
		t.Error("serves one with another scope")
	}
	p = caller(t, claims)
	p.Binding = token.BoundDPoP
	if assert(t, s, p, now) == first {
		t.Error("serves one with another binding")
	}
}

// TestKeepsFew: however many callers there are, few assertions are kept.
func TestKeepsFew(t *testing.T) {
	s := newSigner(t, func(o *Options) { o.Keys = []*signer.Key{newKey(t, "EdDSA")} })
	for i := range remembered + 10 {
		assert(t, s, caller(t, fmt.Sprintf(`{"sub":"user-%d"}`, i)), noon)
	}
	if n := s.made.Len(); n != remembered {
		t.Errorf("%d are kept", n)
	}
}

func TestBound(t *testing.T) {
	s := newSigner(t, func(o *Options) { o.BindRequest = true })
	p := caller(t, `{"sub":"a"}`)
	_, one := open(t, s, assert(t, s, p, noon))
	_, two := open(t, s, assert(t, s, p, noon))
	if one["jti"] == two["jti"] || one["htm"] != "GET" || one["target_sha256"] != two["target_sha256"] || s.made.Len() != 0 {
		t.Errorf("%v, %v", one, two)
	}
}

func TestNewWantsAKey(t *testing.T) {
	if _, err := New(Options{}); err == nil {
		t.Error("a signer without a key")
	}
}

func TestDescribe(t *testing.T) {
	s := newSigner(t, nil)
	text := assert(t, s, caller(t, `{"sub":"a"}`), noon)
	for _, value := range []string{text, "Bearer " + text} {
		got := Describe(value)
		if !strings.HasPrefix(got, "<signed "+Type+`> {"iss":`) || strings.Contains(got, strings.Split(text, ".")[2]) {
			t.Error(got)
		}
	}
	for _, value := range []string{"", "a.b", "a.!.c"} {
		if got := Describe(value); got != "no assertion" {
			t.Errorf("%q: %s", value, got)
		}
	}
}

// published reads the set at a time.
func (r *Ring) list(t *testing.T, now time.Time) (ids []string) {
	t.Helper()
	var set struct {
		Keys []map[string]string `json:"keys"`
	}
	if err := json.Unmarshal([]byte(r.set(now)), &set); err != nil {
		t.Fatal(err)
	}
	for _, k := range set.Keys {
		ids = append(ids, strings.TrimSuffix(k["alg"]+" "+k["kid"], " "))
		if k["d"] != "" || k["use"] != "sig" {
			t.Errorf("%v", k)
		}
	}
	return ids
}

// TestRing: keys in use are published, and those of before for a while.
func TestRing(t *testing.T) {
	var r Ring
	one, two, three := newKey(t, "ES256"), newKey(t, "EdDSA"), newKey(t, "RS256")
	other, err := three.For("PS256")
	if err != nil {
		t.Fatal(err)
	}
	id := func(k *signer.Key) string { return k.Algorithm() + " " + k.Thumbprint() }
	check := func(what string, now time.Time, want ...string) {
		t.Helper()
		if got := r.list(t, now); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s: %v, want %v", what, got, want)
		}
	}
	check("none", noon)
	r.Publish([]*signer.Key{one, two, one}, noon)
	check("both", noon.Add(24*time.Hour), id(one), id(two))
	r.Publish([]*signer.Key{two}, noon)
	check("one of before", noon.Add(keepPublished-1), id(two), id(one))
	check("is gone", noon.Add(keepPublished), id(two))
	r.Publish([]*signer.Key{two}, noon.Add(time.Minute))
	check("a reload does not lengthen it", noon.Add(keepPublished), id(two))
	r.Publish([]*signer.Key{one}, noon.Add(2*time.Minute))
	check("it comes back", noon.Add(3*keepPublished), id(one))
	r.Publish([]*signer.Key{three, other}, noon.Add(4*keepPublished))
	if n := len(r.published); n != 2 {
		t.Errorf("%d keys are kept, want the one in use and the one of just before", n)
	}
	check("one key in two ways", noon.Add(6*keepPublished), " "+three.Thumbprint())
}

// TestOwn: a process has one key for each algorithm.
func TestOwn(t *testing.T) {
	var r Ring
	one, errOne := r.Own("ES256")
	two, errTwo := r.Own("ES256")
	other, errOther := r.Own("EdDSA")
	if errOne != nil || errTwo != nil || errOther != nil || one != two || one == other {
		t.Errorf("%v %v %v", errOne, errTwo, errOther)
	}
	if _, err := r.Own("HS256"); err == nil {
		t.Error("a key for HS256")
	}
}

func TestRingAnswers(t *testing.T) {
	var r Ring
	r.Publish([]*signer.Key{newKey(t, "ES256")}, time.Now())
	w := httptest.NewRecorder()
	r.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/jwks.json", nil))
	if w.Header().Get("Content-Type") != "application/jwk-set+json" || w.Header().Get("Cache-Control") != "max-age=60" || w.Body.String() != r.set(time.Now()) {
		t.Errorf("%v %s", w.Header(), w.Body)
	}
}

// BenchmarkAssert is the cost of an assertion: one that is used again, and one
// that is signed, by algorithm.
func BenchmarkAssert(b *testing.B) {
	p := caller(b, `{"iss":"https://as.example.com","sub":"user-1","client_id":"app","exp":1900000000,"email":"someone@example.com","groups":["a","b"]}`)
	for _, alg := range []string{"ES256", "EdDSA", "RS256", "PS256"} {
		for _, fresh := range []bool{false, true} {
			b.Run(fmt.Sprintf("%s/fresh=%v", alg, fresh), func(b *testing.B) {
				s := newSigner(b, func(o *Options) {
					o.Keys, o.Claims, o.BindRequest = []*signer.Key{newKey(b, alg)}, []string{"email", "groups"}, fresh
				})
				b.ReportAllocs()
				for b.Loop() {
					if _, err := s.Assert(p, Request{"GET", "/orders/1"}, noon); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
