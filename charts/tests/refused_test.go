package tests

import (
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/wicketgate/wicketgate/charts/tests/judge"
)

// TestRefused: values that contradict each other, and typing errors, end the
// installation with a sentence about them.
func TestRefused(t *testing.T) {
	for _, c := range []struct{ name, values, want string }{
		{"two sources", `existingConfigMap: other`, "config and existingConfigMap are both set: keep one"},
		{"no source", `config: null`, "the gate has no configuration: set config"},
		{"two monitors", `metrics: {podMonitor: {enabled: true}, serviceMonitor: {enabled: true}}`, "every pod would be scraped twice"},
		{"policy that closes nothing", `networkPolicy: {upstream: {podLabels: {app: a}}}`, "closes nothing while networkPolicy.enabled is false"},
		{"ingress for nothing", `ingress: {enabled: true}`, "ingress.enabled without ingress.hosts"},
		{"route without gateway", `httpRoute: {enabled: true}`, "httpRoute.enabled without httpRoute.parentRefs"},
		{"fewer than the least", `autoscaling: {enabled: true, minReplicas: 5, maxReplicas: 4}`, "maxReplicas is less than"},
		{"nothing to scale by", `autoscaling: {enabled: true, targetCPUUtilizationPercentage: 0}`, "without anything to scale by"},
		{"only the kubelet's loopback", `config: {admin: {listen: "127.0.0.1:8421"}}`, `admin.listen is "127.0.0.1:8421": nobody outside the pod reaches that`},
		{"only loopback", `config: {listen: "localhost:8420"}`, `listen is "localhost:8420": nobody outside the pod`},
		{"only loopback of IPv6", `config: {listen: "[::1]:8420"}`, `write ":8420"`},
		{"a door that nobody finds", `config: {ext_authz: {listen: ":8440", peers: [10.0.0.0/8]}}`, `ext_authz.listen is ":8440", but the Service does not have that port: add {name: NAME, port: 8440}`},
		{"another door", `config: {forward_auth: {listen: "0.0.0.0:8450", peers: [10.0.0.0/8]}}`, `forward_auth.listen is "0.0.0.0:8450"`},
		{"a receiver that nobody finds", `config: {revocation: {signals: {listen: ":8460"}}}`, `revocation.signals.listen is ":8460", but the Service does not have that port`},
		{"a resource that nobody finds", `config: {resources: [{identifier: "https://a.example", upstream: "http://a", listen: ":8430"}]}`, `resources[0].listen is ":8430"`},
		{"a port twice", `ports: {extra: [{name: a, port: 8421}]}`, "have a port or a name twice"},
		{"a name twice", `ports: {extra: [{name: a, port: 8431}, {name: a, port: 8432}]}`, "have a port or a name twice"},
		{"the Service's own port", `{service: {port: 8443}, ports: {extra: [{name: a, port: 8443}]}}`, "service.port is one of ports.extra as well"},
		{"no source for a gate beside the injector", `{config: null, injector: {enabled: true}}`, "the gate has no configuration"},
		{"other traffic port", `ports: {traffic: 9000}`, `ports.traffic is 9000, but the configuration has listen: ":8420"`},
		{"other listen", `config: {listen: ":9000"}`, `ports.traffic is 8420, but the configuration has listen: ":9000"`},
		{"other admin port", `config: {admin: {listen: ":8400"}}`, `ports.admin is 8421, but the configuration has admin.listen: ":8400"`},
		{"admin where no kubelet asks", `config: {admin: {listen: "unix:///run/wicketgate/admin.sock"}}`, `ports.admin is 8421, but the configuration has admin.listen: "unix:///run/wicketgate/admin.sock"`},
		{"certificate unused", `tls: {existingSecret: a}`, "but the configuration serves plain HTTP: add tls:"},
		{"certificate not mounted", `config: {tls: {cert_file: /run/secrets/wicketgate/tls/tls.crt}}`, "tls.existingSecret is not set"},
		{"killed before it has drained", `config: {drain: {delay: 10s, timeout: 1m30.5s}}`, "terminationGracePeriodSeconds is 40, but drain.delay and drain.timeout of the configuration take 101 s and need 5 more: set 106"},
		{"a number for two durations", `config: {drain: 5}`, "at '/config/drain': got number, want object"},
		{"a number for a duration", `config: {drain: {delay: 5}}`, "at '/config/drain/delay': got number, want string"},
		{"a default taken away", `ports: null`, "ports is null, and the chart cannot do without"},
		{"a default taken away below", `image: {repository: null}`, "image.repository is null"},
		{"an object that is none", `extraObjects: ["a: b"]`, "extraObjects[0] is no object of Kubernetes"},

		{"typing error", `netwrokPolicy: {enabled: true}`, "additional properties 'netwrokPolicy' not allowed"},
		{"typing error below", `metrics: {podMonitor: {enable: true}}`, "at '/metrics/podMonitor': additional properties 'enable' not allowed"},
		{"tag latest", `image: {tag: latest}`, "at '/image/tag'"},
		{"digest that is none", `image: {digest: "sha256:12"}`, "at '/image/digest'"},
		{"secret without key", `secrets: [{name: a, existingSecret: b}]`, "missing property 'key'"},
		{"secret that leaves its folder", `secrets: [{name: ../a, existingSecret: b, key: c}]`, "at '/secrets/0/name'"},
		{"secret in the place of tls", `secrets: [{name: tls, existingSecret: b, key: c}]`, "at '/secrets/0/name'"},
		{"text for a number", `replicaCount: "2"`, "at '/replicaCount': got string, want integer"},
		{"port that is none", `ports: {extra: [{name: a, port: 70000}]}`, "at '/ports/extra/0/port'"},
		{"two ports of one name", `ports: {extra: [{name: admin, port: 8430}]}`, "at '/ports/extra/0/name'"},
		{"probe of another kind", `livenessProbe: {exec: {command: [a]}}`, "additional properties 'exec' not allowed"},
		{"label that selects", `podLabels: {app.kubernetes.io/name: a}`, "invalid propertyName 'app.kubernetes.io/name'"},
		{"unknown version of the file", `config: {version: 2}`, "at '/config/version'"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var set map[string]any
			if err := yaml.UnmarshalStrict([]byte(c.values), &set); err != nil {
				t.Fatal(err)
			}
			_, err := judge.Render(judge.Install{Chart: chart, Files: []string{ci + "/default-values.yaml"}, Set: set})
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

// TestOnlyInjector: who wants no gate but those beside others needs no file here,
// and gets no Service and no pods.
func TestOnlyInjector(t *testing.T) {
	r, objects := render(t, judge.Install{Set: map[string]any{"replicaCount": 0, "injector": map[string]any{"enabled": true}}})
	var kinds []string
	for _, o := range objects {
		kinds = append(kinds, o.Kind)
	}
	slices.Sort(kinds)
	if got, want := strings.Join(kinds, " "), "MutatingAdmissionPolicy MutatingAdmissionPolicyBinding"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if strings.Contains(r.Notes, "rollout status") || !strings.Contains(r.Notes, "wicketgate.io/inject") {
		t.Errorf("the notes are about another gate:\n%s", r.Notes)
	}
}

// TestOnlyInjectorHasNoGate: what is for a gate of the release's own is refused
// where there is none, and good where there is one.
func TestOnlyInjectorHasNoGate(t *testing.T) {
	for path, values := range map[string]string{
		"ingress.enabled": `ingress: {enabled: true, hosts: [{host: a.example}]}`, "httpRoute.enabled": `httpRoute: {enabled: true, parentRefs: [{name: a}]}`,
		"networkPolicy.enabled": `networkPolicy: {enabled: true}`, "metrics.serviceMonitor.enabled": `metrics: {serviceMonitor: {enabled: true}}`,
		"metrics.podMonitor.enabled": `metrics: {podMonitor: {enabled: true}}`, "ports.extra": `ports: {extra: [{name: a, port: 8440}]}`,
		"secrets": `secrets: [{name: a, existingSecret: b, key: c}]`, "extraEnv": `extraEnv: [{name: A, value: b}]`,
		"podLabels": `podLabels: {a: b}`, "extraVolumes": `extraVolumes: [{name: a, emptyDir: {}}]`,
	} {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			var set map[string]any
			if err := yaml.UnmarshalStrict([]byte(values), &set); err != nil {
				t.Fatal(err)
			}
			alone := map[string]any{"replicaCount": 0, "injector": map[string]any{"enabled": true}}
			if _, err := judge.Render(judge.Install{Chart: chart, Set: merged(set, alone)}); err == nil || !strings.Contains(err.Error(), path+" is for a gate of this release's own, and there is none: replicaCount is 0") {
				t.Errorf("got %v", err)
			}
			if _, err := judge.Render(judge.Install{Chart: chart, Files: []string{ci + "/injector-values.yaml"}, Set: set}); err != nil {
				t.Errorf("beside a gate: %v", err)
			}
		})
	}
	_, err := judge.Render(judge.Install{Chart: chart, Set: map[string]any{"replicaCount": 0, "injector": map[string]any{"enabled": true}, "extraEnv": []any{map[string]any{"name": "A"}}}})
	if err == nil || !strings.Contains(err.Error(), "there is injector.extraEnv") {
		t.Errorf("an environment in the wrong place: %v", err)
	}
}

// TestUnderAnotherChart: a chart that depends on this one may switch it off and
// share global values.
func TestUnderAnotherChart(t *testing.T) {
	_, err := judge.Render(judge.Install{Chart: chart, Files: []string{ci + "/default-values.yaml"}, Set: map[string]any{
		"enabled": true, "global": map[string]any{"storageClass": "fast"},
	}})
	if err != nil {
		t.Error(err)
	}
}
