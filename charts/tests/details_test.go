package tests

import (
	"encoding/json"
	"maps"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	monitoring "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/yaml"

	"github.com/wicketgate/wicketgate/charts/tests/judge"
)

func all[T any](objects []judge.Object) []T {
	var out []T
	for _, o := range objects {
		if typed, ok := o.Typed.(T); ok {
			out = append(out, typed)
		}
	}
	return out
}

func only[T any](t *testing.T, objects []judge.Object) T {
	t.Helper()
	found := all[T](objects)
	if len(found) != 1 {
		t.Fatalf("%d of %T, want one", len(found), *new(T))
	}
	return found[0]
}

func with(t *testing.T, name string) []judge.Object {
	t.Helper()
	_, objects := render(t, judge.Install{Files: []string{ci + "/" + name + "-values.yaml"}})
	return objects
}

// TestBypassIsClosed: with networkPolicy.upstream, of all pods only the gate's are
// let in to the API, at its ports; and the gate itself is reached at its traffic
// ports by those who may, at the admin port by those who watch.
func TestBypassIsClosed(t *testing.T) {
	objects := with(t, "networkpolicy")
	gate := only[*appsv1.Deployment](t, objects)
	policies := all[*networkingv1.NetworkPolicy](objects)
	if len(policies) != 2 {
		t.Fatalf("%d policies", len(policies))
	}
	own, upstream := policies[0], policies[1]
	if !selects(t, &own.Spec.PodSelector, gate.Spec.Template.Labels) {
		t.Error("the gate's policy does not select the gate's pods")
	}
	reached := map[string]string{}
	for _, rule := range own.Spec.Ingress {
		if len(rule.Ports) == 0 || len(rule.From) != 1 {
			t.Fatalf("a rule that lets anyone in, or to any port: %v", rule)
		}
		for _, p := range rule.Ports {
			reached[p.Port.StrVal] += rule.From[0].NamespaceSelector.MatchLabels["kubernetes.io/metadata.name"]
		}
	}
	if want := map[string]string{"http": "ingress", "admin": "observability"}; !maps.Equal(reached, want) {
		t.Errorf("ports and who reaches them: %v, want %v", reached, want)
	}
	if upstream.Namespace != "shop" || len(upstream.Spec.Ingress) != 1 || len(upstream.Spec.Ingress[0].Ports) != 2 {
		t.Fatalf("the API's policy: %+v", upstream)
	}
	from := upstream.Spec.Ingress[0].From
	if len(from) != 2 || !selects(t, from[0].PodSelector, gate.Spec.Template.Labels) ||
		from[0].NamespaceSelector.MatchLabels["kubernetes.io/metadata.name"] != gate.Namespace {
		t.Errorf("who may reach the API: %+v", from)
	}
}

func selects(t *testing.T, s *metav1.LabelSelector, of map[string]string) bool {
	t.Helper()
	selector, err := metav1.LabelSelectorAsSelector(s)
	if err != nil {
		t.Fatal(err)
	}
	return !selector.Empty() && selector.Matches(labels.Set(of))
}

// TestAdminIsNotOnTheService: what is meant for clients leads to the
// traffic ports only, and the Service for Prometheus has no address of its own.
func TestAdminIsNotOnTheService(t *testing.T) {
	for name := range cases(t) {
		for _, s := range all[*corev1.Service](with(t, name)) {
			for _, p := range s.Spec.Ports {
				if admin := p.TargetPort.StrVal == "admin"; admin != (s.Spec.ClusterIP == corev1.ClusterIPNone) {
					t.Errorf("%s: Service %s (%s): port %s", name, s.Name, s.Spec.ClusterIP, p.Name)
				}
			}
		}
	}
}

// TestSelectorsFindTheirPods: every Service, budget and spread constraint that the
// chart writes selects the chart's own pods.
func TestSelectorsFindTheirPods(t *testing.T) {
	for name := range cases(t) {
		objects := with(t, name)
		gate := only[*appsv1.Deployment](t, objects)
		pods := labels.Set(gate.Spec.Template.Labels)
		for _, s := range all[*corev1.Service](objects) {
			if !labels.SelectorFromSet(s.Spec.Selector).Matches(pods) {
				t.Errorf("%s: Service %s selects others", name, s.Name)
			}
		}
		for _, b := range all[*policyv1.PodDisruptionBudget](objects) {
			if !selects(t, b.Spec.Selector, pods) {
				t.Errorf("%s: the budget is for others", name)
			}
		}
		for _, c := range gate.Spec.Template.Spec.TopologySpreadConstraints {
			if !selects(t, c.LabelSelector, pods) {
				t.Errorf("%s: spread by %s counts others", name, c.TopologyKey)
			}
		}
	}
}

// TestBudget: one pod alone has none, or its node could never be emptied.
func TestBudget(t *testing.T) {
	for name, want := range map[string]int{"default": 0, "minimal": 0, "tls": 1, "full": 1, "autoscaling": 1} {
		if got := len(all[*policyv1.PodDisruptionBudget](with(t, name))); got != want {
			t.Errorf("%s: %d budgets, want %d", name, got, want)
		}
	}
}

// TestUserOfTheCluster: where the cluster gives out users, as OpenShift does,
// ours can be taken away.
func TestUserOfTheCluster(t *testing.T) {
	_, objects := render(t, judge.Install{Files: []string{ci + "/default-values.yaml"}, Set: map[string]any{
		"podSecurityContext": map[string]any{"runAsUser": nil, "runAsGroup": nil, "fsGroup": nil},
	}})
	s := only[*appsv1.Deployment](t, objects).Spec.Template.Spec.SecurityContext
	if s.RunAsUser != nil || s.RunAsGroup != nil || s.FSGroup != nil || !*s.RunAsNonRoot {
		t.Errorf("%+v", s)
	}
	for _, o := range objects {
		if why := judge.Restricted(o); len(why) > 0 {
			t.Error(why)
		}
	}
}

// TestReplicasAreLeftToTheScaler: a number in the Deployment would undo what the
// autoscaler has done, at each upgrade.
func TestReplicasAreLeftToTheScaler(t *testing.T) {
	if n := only[*appsv1.Deployment](t, with(t, "autoscaling")).Spec.Replicas; n != nil {
		t.Errorf("%d replicas", *n)
	}
}

// TestConfigurationIsPassedOn: what the file says is what was written in values.
func TestConfigurationIsPassedOn(t *testing.T) {
	for name, file := range cases(t) {
		if name == "existing-configmap" {
			continue
		}
		var values struct {
			Config map[string]any `json:"config"`
		}
		data := read(t, file)
		if err := yaml.Unmarshal(data, &values); err != nil {
			t.Fatal(err)
		}
		var got map[string]any
		if err := yaml.UnmarshalStrict([]byte(configOf(t, name)), &got); err != nil {
			t.Fatal(err)
		}
		want, _ := yaml.Marshal(values.Config)
		have, _ := yaml.Marshal(got)
		if string(want) != string(have) {
			t.Errorf("%s: the file says\n%s\nvalues say\n%s", name, have, want)
		}
	}
}

// configOf is the gate's file as it is rendered for a file of ci.
func configOf(t *testing.T, name string) string {
	t.Helper()
	for _, m := range all[*corev1.ConfigMap](with(t, name)) {
		if text, ok := m.Data["config.yaml"]; ok {
			return text
		}
	}
	t.Fatalf("%s: no ConfigMap with config.yaml", name)
	return ""
}

// TestRulesAndDashboard: what is installed is what lies in files/, braces and all.
func TestRulesAndDashboard(t *testing.T) {
	objects := with(t, "monitoring")
	rule := only[*monitoring.PrometheusRule](t, objects)
	if rule.Labels["release"] != "prometheus" {
		t.Errorf("labels of the rules: %v", rule.Labels)
	}
	var want monitoring.PrometheusRuleSpec
	if err := yaml.UnmarshalStrict(read(t, chart+"/files/rules.yaml"), &want); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, rule.Spec); diff != "" || len(want.Groups) == 0 {
		t.Errorf("rules (-file +installed):\n%s", diff)
	}
	for _, m := range all[*corev1.ConfigMap](objects) {
		text, ok := m.Data["wicketgate.json"]
		if !ok {
			continue
		}
		if m.Labels["grafana_dashboard"] != "1" || m.Namespace != "monitoring" {
			t.Errorf("%s has labels %v", m.Name, m.Labels)
		}
		if !json.Valid([]byte(text)) || strings.TrimSpace(text) != strings.TrimSpace(string(read(t, chart+"/files/dashboard.json"))) {
			t.Error("the dashboard is not files/dashboard.json")
		}
		return
	}
	t.Error("no dashboard")
}

// TestNames: long names stay within 63 characters with their endings whole.
func TestNames(t *testing.T) {
	_, objects := render(t, judge.Install{
		Files:   []string{ci + "/monitoring-values.yaml", ci + "/networkpolicy-values.yaml"},
		Release: strings.Repeat("r", 53),
		Set: map[string]any{"metrics": map[string]any{
			"podMonitor": map[string]any{"enabled": false}, "serviceMonitor": map[string]any{"enabled": true},
		}},
	})
	endings := map[string]bool{"-admin": false, "-dashboard": false, "-upstream": false}
	for _, o := range objects {
		if len(o.Name()) > 63 {
			t.Errorf("%s has %d characters", o, len(o.Name()))
		}
		for ending := range endings {
			endings[ending] = endings[ending] || strings.HasSuffix(o.Name(), ending)
		}
	}
	for ending, seen := range endings {
		if !seen {
			t.Errorf("no name ends in %s", ending)
		}
	}
}

// TestNotes: the next command comes with the names that it needs, and what is
// most likely not meant is said.
func TestNotes(t *testing.T) {
	for _, c := range []struct{ name, want, wantNot string }{
		{"default", "kubectl -n edge port-forward svc/gate-wicketgate 8420:80", "trusted_proxies"},
		{"default", "curl -i http://127.0.0.1:8420/", "several replicas"},
		{"default", "passes by the gate", "curl -ik"},
		{"tls", "curl -ik https://127.0.0.1:8420/", "several replicas"},
		{"httproute", "through a Gateway, but config.trusted_proxies is not set", "an Ingress"},
		{"autoscaling", "there are several replicas", "trusted_proxies"},
		{"networkpolicy", "check --live", "passes by the gate"},
		{"registry", "kubectl -n shop rollout status deploy/orders-gate", "edge"},
	} {
		r, _ := render(t, judge.Install{Files: []string{ci + "/" + c.name + "-values.yaml"}})
		if !strings.Contains(r.Notes, c.want) || strings.Contains(r.Notes, c.wantNot) {
			t.Errorf("%s: want %q and not %q in\n%s", c.name, c.want, c.wantNot, r.Notes)
		}
	}
}
