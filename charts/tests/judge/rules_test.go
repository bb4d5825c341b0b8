package judge

import (
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/intstr"
)

func rendered(t *testing.T) []Object {
	t.Helper()
	r, err := Render(Install{
		Chart: "../../wicketgate", Files: []string{"../../wicketgate/ci/default-values.yaml"}, Set: map[string]any{"replicaCount": 2},
	})
	if err != nil {
		t.Fatal(err)
	}
	objects, err := r.Objects()
	if err != nil {
		t.Fatal(err)
	}
	return objects
}

// TestRulesCanFail breaks a good rendering in one way each, and expects the rule
// that is there for it to say so. Every rule is broken at least once.
func TestRulesCanFail(t *testing.T) {
	pod := func(f func(*corev1.PodSpec, *corev1.Container)) func(Object) {
		return func(o Object) {
			if _, spec := o.Pod(); spec != nil {
				f(spec, &spec.Containers[0])
			}
		}
	}
	no := false
	breaks := []struct {
		rule  string
		wreck func(Object)
	}{
		{"pod-security", pod(func(s *corev1.PodSpec, _ *corev1.Container) { s.HostNetwork = true })},
		{"pod-security", pod(func(s *corev1.PodSpec, _ *corev1.Container) { s.SecurityContext.SeccompProfile = nil })},
		{"image-pinned", pod(func(_ *corev1.PodSpec, c *corev1.Container) { c.Image = "ghcr.io/wicketgate/wicketgate:latest" })},
		{"image-pinned", pod(func(_ *corev1.PodSpec, c *corev1.Container) { c.Image = "localhost:5000/wicketgate/wicketgate" })},
		{"image-ours", pod(func(s *corev1.PodSpec, c *corev1.Container) {
			helper := *c.DeepCopy()
			helper.Name, helper.Image = "wait", "docker.io/library/busybox:1.37"
			s.InitContainers = append(s.InitContainers, helper)
		})},
		{"ports-named", pod(func(_ *corev1.PodSpec, c *corev1.Container) { c.Ports[0].Name = "" })},
		{"ports-named", pod(func(_ *corev1.PodSpec, c *corev1.Container) { c.Ports[0].HostPort = 8420 })},
		{"probes-on-admin", pod(func(_ *corev1.PodSpec, c *corev1.Container) { c.LivenessProbe.HTTPGet.Port = intstr.FromString("http") })},
		{"probes-on-admin", pod(func(_ *corev1.PodSpec, c *corev1.Container) { c.LivenessProbe.HTTPGet.Path = "/readyz" })},
		{"probes-on-admin", pod(func(_ *corev1.PodSpec, c *corev1.Container) { c.StartupProbe = nil })},
		{"drains", pod(func(_ *corev1.PodSpec, c *corev1.Container) { c.Lifecycle = nil })},
		{"memory-limit", pod(func(_ *corev1.PodSpec, c *corev1.Container) { delete(c.Resources.Limits, corev1.ResourceMemory) })},
		{"no-cpu-limit", pod(func(_ *corev1.PodSpec, c *corev1.Container) {
			c.Resources.Limits[corev1.ResourceCPU] = resource.MustParse("1")
		})},
		{"read-only-root", pod(func(_ *corev1.PodSpec, c *corev1.Container) { c.SecurityContext.ReadOnlyRootFilesystem = nil })},
		{"drop-all", pod(func(_ *corev1.PodSpec, c *corev1.Container) { c.SecurityContext.Capabilities.Drop = nil })},
		{"drop-all", pod(func(_ *corev1.PodSpec, c *corev1.Container) { c.SecurityContext.AllowPrivilegeEscalation = nil })},
		{"user-65532", pod(func(s *corev1.PodSpec, _ *corev1.Container) { s.SecurityContext.RunAsUser = nil })},
		{"user-65532", pod(func(_ *corev1.PodSpec, c *corev1.Container) { c.SecurityContext.RunAsNonRoot = &no })},
		{"no-account-token", pod(func(s *corev1.PodSpec, _ *corev1.Container) { s.AutomountServiceAccountToken = nil })},
		{"no-account-token", func(o Object) {
			if sa, ok := o.Typed.(*corev1.ServiceAccount); ok {
				sa.AutomountServiceAccountToken = nil
			}
		}},
		{"no-config-checksum", func(o Object) {
			if meta, _ := o.Pod(); meta != nil {
				meta.Annotations = map[string]string{"checksum/config": "0"}
			}
		}},
		{"selector-stable", func(o Object) {
			if d, ok := o.Typed.(*appsv1.Deployment); ok {
				d.Spec.Selector.MatchLabels["app.kubernetes.io/version"] = d.Spec.Template.Labels["app.kubernetes.io/version"]
			}
		}},
		{"selector-stable", func(o Object) {
			if s, ok := o.Typed.(*corev1.Service); ok {
				s.Spec.Selector = nil
			}
		}},
		{"service-ports-named", func(o Object) {
			if s, ok := o.Typed.(*corev1.Service); ok {
				s.Spec.Ports[0].TargetPort = intstr.FromInt32(8420)
			}
		}},
		{"evictable", func(o Object) {
			if b, ok := o.Typed.(*policyv1.PodDisruptionBudget); ok {
				b.Spec.UnhealthyPodEvictionPolicy = nil
			}
		}},
	}
	if wrong := (House{}).Judge(rendered(t)); len(wrong) > 0 {
		t.Fatalf("before anything is broken: %q", wrong)
	}
	tried := []string{}
	for _, b := range breaks {
		tried = append(tried, b.rule)
		objects := rendered(t)
		for _, o := range objects {
			b.wreck(o)
		}
		wrong := House{}.Judge(objects)
		if !slices.ContainsFunc(wrong, func(line string) bool { return strings.Contains(line, ": "+b.rule+": ") }) {
			t.Errorf("nobody noticed a breach of %s: %q", b.rule, wrong)
		}
	}
	for _, rule := range (House{}).Rules() {
		if !slices.Contains(tried, rule.Name) {
			t.Errorf("%s was never broken", rule.Name)
		}
	}
}

// TestGuests: what is not the gate's need not keep the gate's rules, but the Pod
// Security Standard.
func TestGuests(t *testing.T) {
	objects := rendered(t)
	for _, o := range objects {
		if _, spec := o.Pod(); spec != nil {
			spec.Containers = append(spec.Containers, corev1.Container{Name: "app", Image: "app"})
		}
	}
	for _, line := range (House{Guests: []string{"app"}}).Judge(objects) {
		if !strings.Contains(line, ": pod-security: ") {
			t.Error(line)
		}
	}
	if len((House{Guests: []string{"app"}}).Judge(objects)) == 0 {
		t.Error("a container without a security context passes")
	}
}

// TestDecodeIsStrict: a field that Kubernetes would drop in silence is an error.
func TestDecodeIsStrict(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec: {port: []}\n", `unknown field "spec.port"`},
		{"apiVersion: v1\nkind: Service\nmetadata: {name: a, name: b}\n", `key "name" already set`},
		{"apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec: {ports: {}}\n", "cannot unmarshal object"},
		{"apiVersion: v2\nkind: Service\n", "no kind \"Service\""},
		{"apiVersion: monitoring.coreos.com/v1\nkind: PodMonitor\nspec: {endpoints: []}\n", `unknown field "spec.endpoints"`},
		{"apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nspec: {hosts: []}\n", `unknown field "spec.hosts"`},
	} {
		if _, err := Decode("a.yaml", []byte("# first\n---\n"+c.text)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %s", c.text, err, c.want)
		}
	}
}
