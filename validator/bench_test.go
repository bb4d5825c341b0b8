package validator

import (
	"context"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/wicketgate/wicketgate/internal/devissuer"
	"github.com/wicketgate/wicketgate/jwks"
	"github.com/wicketgate/wicketgate/token"
	"github.com/wicketgate/wicketgate/validator/dpop"
	"github.com/wicketgate/wicketgate/validator/replay"
)

// cpu is the processor time this process has used.
func cpu(b *testing.B) time.Duration {
	b.Helper()
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// measure runs decide until the benchmark is content and reports processor
// time, which a busy machine does not change as it does elapsed time.
func measure(b *testing.B, decide func(i int) error) {
	b.ReportAllocs()
	from := cpu(b)
	n := 0
	for b.Loop() {
		if err := decide(n); err != nil {
			b.Fatal(err)
		}
		n++
	}
	b.ReportMetric(float64(cpu(b)-from)/float64(n), "cpu-ns/op")
}

func benchWorld(tb testing.TB, alg string, cacheSize int) (*devissuer.Issuer, *Resource) {
	tb.Helper()
	issuer, err := devissuer.New(devissuer.Options{Identifier: issuerName, Algorithms: []string{alg}})
	if err != nil {
		tb.Fatal(err)
	}
	return issuer, benchResource(tb, issuer.JWKS(), cacheSize)
}

// benchResource takes the tokens of whoever has a key of set.
func benchResource(tb testing.TB, set []byte, cacheSize int) *Resource {
	tb.Helper()
	file := filepath.Join(tb.TempDir(), "jwks.json")
	if err := os.WriteFile(file, set, 0o600); err != nil {
		tb.Fatal(err)
	}
	keys := jwks.NewCache(jwks.Options{})
	keys.Configure([]jwks.Source{{Name: "as", Issuer: issuerName, File: file}})
	proofs, err := dpop.New(dpop.Options{}, replay.NewMemory(50_000_000))
	if err != nil {
		tb.Fatal(err)
	}
	v, err := New(Parts{
		Issuers: []Options{{Name: "as", Issuer: issuerName, Leeway: 30 * time.Second}},
		Keys:    keys, DPoP: proofs, CacheSize: cacheSize,
	})
	if err != nil {
		tb.Fatal(err)
	}
	return v.For(Audience{Any: []string{"https://rs.example.com"}})
}

func mintBench(tb testing.TB, issuer *devissuer.Issuer, claims map[string]any) string {
	tb.Helper()
	raw, err := issuer.Mint(devissuer.Token{Claims: claims})
	if err != nil {
		tb.Fatal(err)
	}
	return raw
}

func BenchmarkDecide(b *testing.B) {
	for _, alg := range []string{"ES256", "RS256", "PS256", "EdDSA"} {
		b.Run("uncached/"+alg, func(b *testing.B) {
			issuer, r := benchWorld(b, alg, 0)
			cred := token.Credential{Scheme: token.Bearer, Raw: mintBench(b, issuer, nil)}
			measure(b, func(int) error { _, err := r.Validate(context.Background(), cred); return err })
		})
	}
	b.Run("cached", func(b *testing.B) {
		issuer, r := benchWorld(b, "ES256", 100)
		cred := token.Credential{Scheme: token.Bearer, Raw: mintBench(b, issuer, nil)}
		measure(b, func(int) error { _, err := r.Validate(context.Background(), cred); return err })
	})
	b.Run("expired", func(b *testing.B) {
		issuer, r := benchWorld(b, "ES256", 100)
		cred := token.Credential{Scheme: token.Bearer, Raw: mintBench(b, issuer, map[string]any{"exp": 1})}
		measure(b, func(int) error {
			if _, err := r.Validate(context.Background(), cred); err == nil {
				b.Fatal("an expired token passed")
			}
			return nil
		})
	})
}

// BenchmarkProof has the token cached, so what it measures is the proof.
func BenchmarkProof(b *testing.B) {
	for _, alg := range []string{"ES256", "RS256", "EdDSA"} {
		b.Run(alg, func(b *testing.B) {
			issuer, r := benchWorld(b, "ES256", 100)
			key, err := devissuer.NewClientKey(alg)
			if err != nil {
				b.Fatal(err)
			}
			raw := mintBench(b, issuer, map[string]any{"cnf": map[string]any{"jkt": key.Thumbprint()}})
			proofs := make([]string, 2000)
			for i := range proofs {
				proofs[i], err = key.Proof(devissuer.Proof{Method: "GET", URL: "https://rs.example.com/read", AccessToken: raw})
				if err != nil {
					b.Fatal(err)
				}
			}
			cred := token.Credential{
				Scheme: token.DPoP, Raw: raw, Method: "GET", Origins: []string{"https://rs.example.com"}, Path: "/read",
			}
			// Past the first round proofs are refused at the last step, the
			// replay store: all else was done by then.
			measure(b, func(i int) error {
				cred.Proofs = proofs[i%len(proofs) : i%len(proofs)+1]
				_, err := r.Validate(context.Background(), cred)
				if i < len(proofs) {
					return err
				}
				return nil
			})
		})
	}
}
