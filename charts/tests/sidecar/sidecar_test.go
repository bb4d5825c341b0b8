package sidecar

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"

	"github.com/wicketgate/wicketgate/charts/tests/judge"
)

const (
	charts = "../.."
	golden = "testdata/container.yaml"
)

var update = flag.Bool("update", false, "write testdata/container.yaml anew, from the library chart")

// deliveries are the ways to get the gate beside an application, each applied to
// one.
var deliveries = []struct {
	name    string
	deliver func(*testing.T) []judge.Object
}{
	{"library chart", func(t *testing.T) []judge.Object { return library(t, nil) }},
	{"admission policy", func(t *testing.T) []judge.Object {
		return []judge.Object{asObject(t, injected(t, application("app-gate")))}
	}},
	{"kustomize", kustomized},
	{"raw", raw},
}

// library renders the application's chart, which uses the library.
func library(t *testing.T, set map[string]any) []judge.Object {
	t.Helper()
	rendered, err := judge.Render(judge.Install{
		Chart: filepath.Join(charts, "tests/testdata/app"), Libraries: []string{filepath.Join(charts, "wicketgate-lib")},
		Set: map[string]any{"wicketgate": set},
	})
	if err != nil {
		t.Fatal(err)
	}
	return decoded(t, rendered)
}

func decoded(t *testing.T, r judge.Rendered) []judge.Object {
	t.Helper()
	objects, err := r.Objects()
	if err != nil {
		t.Fatal(err)
	}
	return objects
}

// kustomized builds an application's kustomization that uses the component.
func kustomized(t *testing.T) []judge.Object {
	t.Helper()
	memory := filesys.MakeFsInMemory()
	write := func(name string, text []byte) {
		if err := memory.WriteFile(name, text); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"kustomization.yaml", "sidecar.yaml", "sidecar-cronjob.yaml", "sidecar-pod.yaml"} {
		write("component/"+name, contents(t, filepath.Join(charts, "kustomize", name)))
	}
	for _, name := range []string{"kustomization.yaml", "workloads.yaml", "config.yaml"} {
		write("app/"+name, contents(t, filepath.Join(charts, "tests/testdata/kustomize", name)))
	}
	resources, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(memory, "app")
	if err != nil {
		t.Fatal(err)
	}
	text, err := resources.AsYaml()
	if err != nil {
		t.Fatal(err)
	}
	objects, err := judge.Decode("kustomize", text)
	if err != nil {
		t.Fatal(err)
	}
	return objects
}

func raw(t *testing.T) []judge.Object {
	t.Helper()
	objects, err := judge.Decode("sidecar.yaml", contents(t, filepath.Join(charts, "../docs/deploy/sidecar.yaml")))
	if err != nil {
		t.Fatal(err)
	}
	return objects
}

func contents(t *testing.T, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// gates are the gates of a pod, in whichever list they stand.
func gates(spec *corev1.PodSpec) (native, ordinary []corev1.Container) {
	other := func(c corev1.Container) bool { return c.Name != "wicketgate" }
	return slices.DeleteFunc(slices.Clone(spec.InitContainers), other), slices.DeleteFunc(slices.Clone(spec.Containers), other)
}

func written(t *testing.T, c corev1.Container) string {
	t.Helper()
	text, err := yaml.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// guarded counts the pods with a gate, each of which must have the golden one.
func guarded(t *testing.T, objects []judge.Object) int {
	t.Helper()
	want := string(contents(t, golden))
	count := 0
	for _, o := range objects {
		_, spec := o.Pod()
		if spec == nil {
			continue
		}
		native, ordinary := gates(spec)
		if len(ordinary) > 0 || len(native) > 1 {
			t.Errorf("%s: %d native gates and %d ordinary ones", o, len(native), len(ordinary))
		}
		if len(native) == 0 {
			continue
		}
		count++
		if diff := cmp.Diff(want, written(t, native[0])); diff != "" {
			t.Errorf("%s: not the container that all deliveries have:\n%s", o, diff)
		}
		if spec.InitContainers[0].Name != "wicketgate" {
			t.Errorf("%s: %s starts before the gate", o, spec.InitContainers[0].Name)
		}
		mounts(t, o, spec)
	}
	return count
}

// mounts wants each of the gate's mounts to have its volume.
func mounts(t *testing.T, o judge.Object, spec *corev1.PodSpec) {
	t.Helper()
	for _, m := range spec.InitContainers[0].VolumeMounts {
		if n := len(slices.DeleteFunc(slices.Clone(spec.Volumes), func(v corev1.Volume) bool { return v.Name != m.Name })); n != 1 {
			t.Errorf("%s: %d volumes are called %s", o, n, m.Name)
		}
	}
}

// TestDeliveries: all of them give the same container, in a pod that Kubernetes
// reads without a doubt and admits under "restricted", and that keeps our rules.
func TestDeliveries(t *testing.T) {
	if *update {
		_, spec := library(t, nil)[0].Pod()
		native, _ := gates(spec)
		if err := os.WriteFile(golden, []byte(written(t, native[0])), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, d := range deliveries {
		t.Run(d.name, func(t *testing.T) {
			objects := d.deliver(t)
			if guarded(t, objects) == 0 {
				t.Error("nobody has a gate")
			}
			house := judge.House{Guests: []string{"app", "orders", "migrate"}}
			for _, wrong := range house.Judge(objects) {
				t.Error(wrong)
			}
		})
	}
}

// TestFallback: for clusters without native sidecars, the same container stands
// behind the application's.
func TestFallback(t *testing.T) {
	objects := library(t, map[string]any{"nativeSidecar": false})
	_, spec := objects[0].Pod()
	native, ordinary := gates(spec)
	if len(native) != 0 || len(ordinary) != 1 || spec.Containers[0].Name != "app" {
		t.Fatalf("%d native gates, %d ordinary ones, first container %s", len(native), len(ordinary), spec.Containers[0].Name)
	}
	if diff := cmp.Diff(strings.Replace(string(contents(t, golden)), "restartPolicy: Always\n", "", 1), written(t, ordinary[0])); diff != "" {
		t.Error(diff)
	}
	for _, wrong := range (judge.House{Guests: []string{"app"}}).Judge(objects) {
		t.Error(wrong)
	}
}

// TestValues: every value of the library does what its comment says, and what it
// does not know ends the rendering.
func TestValues(t *testing.T) {
	objects := library(t, map[string]any{
		"image": map[string]any{"registry": "", "digest": "sha256:" + strings.Repeat("a", 64)}, "configMap": "other", "port": 9000, "adminPort": 9001,
		"resources":         map[string]any{"limits": map[string]any{"memory": "64Mi"}},
		"extraEnv":          []any{map[string]any{"name": "A", "value": "b"}},
		"extraVolumeMounts": []any{map[string]any{"name": "secrets", "mountPath": "/run/secrets/wicketgate"}},
	})
	_, spec := objects[0].Pod()
	c := spec.InitContainers[0]
	got := fmt.Sprintln(c.Image, c.Ports[0].ContainerPort, c.Ports[1].ContainerPort, c.Resources.Limits.Memory(), c.Resources.Requests.Cpu(), c.Env[1].Name, c.VolumeMounts[1].Name, spec.Volumes[0].ConfigMap.Name)
	if want := fmt.Sprintln("wicketgate/wicketgate@sha256:"+strings.Repeat("a", 64), 9000, 9001, "64Mi", "25m", "A", "secrets", "other"); got != want {
		t.Errorf("%s, want %s", got, want)
	}
	_, err := judge.Render(judge.Install{
		Chart: filepath.Join(charts, "tests/testdata/app"), Libraries: []string{filepath.Join(charts, "wicketgate-lib")},
		Set: map[string]any{"wicketgate": map[string]any{"configmap": "x"}},
	})
	if err == nil || !strings.Contains(err.Error(), "wicketgate.configmap: no such value; there are adminPort, configMap,") {
		t.Errorf("a misspelt value: %v", err)
	}
}

// TestOneTemplate: the injector's chart has the library's templates, word for
// word, and the library the version of its image.
func TestOneTemplate(t *testing.T) {
	const name = "templates/_sidecar.tpl"
	if diff := cmp.Diff(string(contents(t, filepath.Join(charts, "wicketgate-lib", name))), string(contents(t, filepath.Join(charts, "wicketgate", name)))); diff != "" {
		t.Errorf("copy charts/wicketgate-lib/%s: %s", name, diff)
	}
	_, version, _ := strings.Cut(string(contents(t, filepath.Join(charts, "wicketgate-lib/Chart.yaml"))), "\nappVersion: ")
	version, _, _ = strings.Cut(version, "\n")
	if !strings.Contains(string(contents(t, golden)), "wicketgate:"+version+"\n") {
		t.Errorf("the library says that it is for %s, and its image is another", version)
	}
}

// TestKustomize: the component takes those with the label, of every kind, and
// their ConfigMap has the name that the generator gave it.
func TestKustomize(t *testing.T) {
	objects := kustomized(t)
	var config string
	for _, o := range objects {
		if o.Kind == "ConfigMap" {
			config = o.Name()
		}
	}
	if !strings.HasPrefix(config, "wicketgate-") {
		t.Fatalf("the generated ConfigMap is called %q", config)
	}
	with := map[string]bool{}
	for _, o := range objects {
		_, spec := o.Pod()
		if spec == nil {
			continue
		}
		native, _ := gates(spec)
		if with[o.Kind+" "+o.Name()] = len(native) == 1; len(native) == 0 {
			continue
		}
		for _, v := range spec.Volumes {
			if v.Name == "wicketgate-config" && v.ConfigMap.Name != config {
				t.Errorf("%s: configuration %s, want %s", o, v.ConfigMap.Name, config)
			}
		}
	}
	want := map[string]bool{
		"Deployment api": true, "StatefulSet db": true, "DaemonSet node": true, "ReplicaSet set": true,
		"Job batch": true, "CronJob nightly": true, "Pod alone": true, "Deployment open": false,
	}
	if diff := cmp.Diff(want, with); diff != "" {
		t.Error(diff)
	}
}

// TestJobsEnd: in all deliveries the gate is no container that a Job waits for,
// and whether the application is started again stays the Job's own affair.
func TestJobsEnd(t *testing.T) {
	found := map[string]corev1.RestartPolicy{}
	ends := func(what string, spec *corev1.PodSpec) {
		if len(spec.Containers) != 1 || spec.Containers[0].Name != "app" {
			t.Errorf("%s waits for more than its own container: %v", what, spec.Containers)
		}
		gate := spec.InitContainers[0]
		if gate.Name != "wicketgate" || gate.RestartPolicy == nil || *gate.RestartPolicy != corev1.ContainerRestartPolicyAlways {
			t.Errorf("%s: the application waits for the end of %s", what, gate.Name)
		}
		found[what] = spec.RestartPolicy
	}
	for _, o := range kustomized(t) {
		if _, spec := o.Pod(); spec != nil && strings.Contains(o.Kind, "Job") {
			ends(o.Kind, spec)
		}
	}
	pod := application("")
	pod.Spec.RestartPolicy = corev1.RestartPolicyOnFailure
	ends("admission policy", &injected(t, pod).Spec)
	want := map[string]corev1.RestartPolicy{"Job": corev1.RestartPolicyNever, "CronJob": corev1.RestartPolicyOnFailure, "admission policy": corev1.RestartPolicyOnFailure}
	if diff := cmp.Diff(want, found); diff != "" {
		t.Error(diff)
	}
}

// TestRaw: the Service leads to the gate, and the policy leaves no way past it.
func TestRaw(t *testing.T) {
	text := string(contents(t, filepath.Join(charts, "../docs/deploy/sidecar.yaml")))
	for _, part := range []string{"targetPort: gate", "- {port: 8420}", "- {port: 8421}"} {
		if !strings.Contains(text, part) {
			t.Errorf("%q is gone", part)
		}
	}
	if hook := "preStop:                        # serve on until the gate has seen drain.delay out\n              httpGet: {path: /drain, port: 8421}"; !strings.Contains(text, hook) {
		t.Error("the API ends while callers still come")
	}
	if strings.Contains(text, "port: 3000") {
		t.Error("the API's own port is open")
	}
}
