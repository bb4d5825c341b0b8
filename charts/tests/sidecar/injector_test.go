package sidecar

import (
	"bytes"
	"context"
	"maps"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/admission"
	plugincel "k8s.io/apiserver/pkg/admission/plugin/cel"
	"k8s.io/apiserver/pkg/admission/plugin/policy/generic"
	"k8s.io/apiserver/pkg/admission/plugin/policy/matching"
	"k8s.io/apiserver/pkg/admission/plugin/policy/mutating"
	"k8s.io/apiserver/pkg/admission/plugin/policy/mutating/patch"
	"k8s.io/apiserver/pkg/admission/plugin/policy/validating"
	"k8s.io/apiserver/pkg/admission/plugin/webhook/matchconditions"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/apiserver/pkg/cel/environment"
	"k8s.io/client-go/applyconfigurations"
	"k8s.io/client-go/kubernetes"
	clientscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/openapi/openapitest"
	"sigs.k8s.io/yaml"

	"github.com/wicketgate/wicketgate/charts/tests/judge"
)

// namespace is where pods are made.
var namespace = &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "shop", Labels: map[string]string{"kubernetes.io/metadata.name": "shop", "gates": "yes"}}}

// injector renders the policy and its binding.
func injector(t *testing.T, set map[string]any) (*mutating.Policy, *mutating.PolicyBinding) {
	t.Helper()
	values := map[string]any{"enabled": true}
	maps.Copy(values, set)
	rendered, err := judge.Render(judge.Install{
		Chart: filepath.Join(charts, "wicketgate"),
		Set: map[string]any{
			"config":   map[string]any{"version": 1, "issuers": []any{map[string]any{"issuer": "https://login.example.com/"}}, "resources": []any{map[string]any{"identifier": "https://api.example.com", "behind_tls": true, "upstream": "http://api:80"}}},
			"injector": values,
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	var policy *mutating.Policy
	var binding *mutating.PolicyBinding
	objects, err := judge.Decode("injector.yaml", []byte(rendered.Manifests["templates/injector.yaml"]))
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range objects {
		switch typed := o.Typed.(type) {
		case *admissionv1.MutatingAdmissionPolicy:
			policy = typed
		case *admissionv1.MutatingAdmissionPolicyBinding:
			binding = typed
		}
	}
	if policy == nil || binding == nil || binding.Spec.PolicyName != policy.Name {
		t.Fatalf("policy %v, binding %v", policy, binding)
	}
	policy.TypeMeta, binding.TypeMeta = metav1.TypeMeta{}, metav1.TypeMeta{} // the context gives them a kind of its own
	return policy, binding
}

// compile does what the plug-in does with a policy; its own function cannot be
// called from here.
func compile(policy *mutating.Policy) mutating.PolicyEvaluator {
	o := plugincel.OptionalVariableDeclarations{HasAuthorizer: true}
	compiler, err := plugincel.NewCompositedCompiler(environment.MustBaseEnvSet(environment.DefaultCompatibilityVersion()))
	if err != nil {
		return mutating.PolicyEvaluator{Error: err}
	}
	var variables []plugincel.NamedExpressionAccessor
	for _, v := range policy.Spec.Variables {
		variables = append(variables, &validating.Variable{Name: v.Name, Expression: v.Expression})
	}
	compiler.CompileAndStoreVariables(variables, o, environment.StoredExpressions)
	var conditions []plugincel.ExpressionAccessor
	for i := range policy.Spec.MatchConditions {
		conditions = append(conditions, (*matchconditions.MatchCondition)(&policy.Spec.MatchConditions[i]))
	}
	e := mutating.PolicyEvaluator{CompositedCompiler: compiler}
	e.Matcher = matchconditions.NewMatcher(compiler.CompileCondition(conditions, o, environment.StoredExpressions), policy.Spec.FailurePolicy, "policy", "validate", policy.Name)
	patching := o
	patching.HasPatchTypes = true
	for _, m := range policy.Spec.Mutations {
		e.Mutators = append(e.Mutators, patch.NewJSONPatcher(compiler.CompileMutatingEvaluator(&patch.JSONPatchCondition{Expression: m.JSONPatch.Expression}, patching, environment.StoredExpressions)))
	}
	return e
}

// plugIn is the API server's own, with one policy.
type plugIn struct {
	context.Context
	admit func(admission.Attributes) error
}

func newPlugIn(t *testing.T, policy *mutating.Policy, binding *mutating.PolicyBinding) *plugIn {
	t.Helper()
	scheme := clientscheme.Scheme
	c, cancel, err := generic.NewPolicyTestContext(t,
		mutating.NewMutatingAdmissionPolicyAccessor, mutating.NewMutatingAdmissionPolicyBindingAccessor, compile,
		func(a authorizer.UnconditionalAuthorizer, m *matching.Matcher, _ kubernetes.Interface) generic.Dispatcher[mutating.PolicyHook] {
			return mutating.NewDispatcher(a, m, patch.NewTypeConverterManager(applyconfigurations.NewTypeConverter(scheme), openapitest.NewEmbeddedFileClient()))
		},
		[]runtime.Object{policy, binding, namespace.DeepCopy()},
		[]meta.RESTMapping{{Resource: corev1.SchemeGroupVersion.WithResource("namespaces"), GroupVersionKind: corev1.SchemeGroupVersion.WithKind("Namespace"), Scope: meta.RESTScopeRoot}},
	)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cancel)
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	if err := c.WaitForReconcile(c, policy); err != nil {
		t.Fatal(err)
	}
	o := admission.NewObjectInterfacesFromScheme(scheme)
	return &plugIn{c, func(a admission.Attributes) error { return c.Plugin.Dispatch(c, a, o) }}
}

// create admits a pod, and returns it as it would be stored.
func (p *plugIn) create(t *testing.T, pod *corev1.Pod) *corev1.Pod {
	t.Helper()
	pod = pod.DeepCopy()
	attributes := admission.NewAttributesRecord(pod, nil, corev1.SchemeGroupVersion.WithKind("Pod"), pod.Namespace, pod.Name,
		corev1.SchemeGroupVersion.WithResource("pods"), "", admission.Create, &metav1.CreateOptions{}, false, nil)
	if err := p.admit(attributes); err != nil {
		t.Fatal(err)
	}
	return pod
}

// application is a pod that asks for a gate, with the ConfigMap of this name.
func application(configMap string) *corev1.Pod {
	pod := &corev1.Pod{}
	const text = `
metadata:
  name: app
  namespace: shop
  labels: {wicketgate.io/inject: "true"}
spec:
  containers:
    - name: app
      image: registry.example.com/app:1.0
      securityContext:
        runAsNonRoot: true
        allowPrivilegeEscalation: false
        capabilities: {drop: [ALL]}
        seccompProfile: {type: RuntimeDefault}
`
	if err := yaml.UnmarshalStrict([]byte(text), pod); err != nil {
		panic(err) // it is written above
	}
	if configMap != "" {
		pod.Annotations = map[string]string{"wicketgate.io/config-map": configMap}
	}
	return pod
}

func injected(t *testing.T, pod *corev1.Pod) *corev1.Pod {
	t.Helper()
	policy, binding := injector(t, nil)
	return newPlugIn(t, policy, binding).create(t, pod)
}

func asObject(t *testing.T, pod *corev1.Pod) judge.Object {
	t.Helper()
	pod = pod.DeepCopy()
	pod.APIVersion, pod.Kind = "v1", "Pod"
	text, err := yaml.Marshal(pod)
	if err != nil {
		t.Fatal(err)
	}
	objects, err := judge.Decode("pod", text)
	if err != nil {
		t.Fatal(err)
	}
	return objects[0]
}

// TestInjector: whoever asks gets exactly one gate, with a configuration of their
// own choice, and nobody else is touched.
func TestInjector(t *testing.T) {
	policy, binding := injector(t, nil)
	p := newPlugIn(t, policy, binding)
	config := func(pod *corev1.Pod) string { return pod.Spec.Volumes[len(pod.Spec.Volumes)-1].ConfigMap.Name }

	once := p.create(t, application(""))
	if guarded(t, []judge.Object{asObject(t, once)}) != 1 || config(once) != "wicketgate" {
		t.Errorf("without an annotation: %v", once.Spec)
	}
	if diff := cmp.Diff(once, p.create(t, once)); diff != "" {
		t.Errorf("a second pass changes it:\n%s", diff)
	}
	if named := p.create(t, application("orders-gate")); config(named) != "orders-gate" {
		t.Errorf("the annotation is not followed: %s", config(named))
	}

	full := application("")
	full.Annotations = map[string]string{"other": "x"}
	full.Spec.InitContainers = []corev1.Container{{Name: "migrate", Image: "registry.example.com/app:1.0"}}
	full.Spec.Volumes = []corev1.Volume{{Name: "data", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}}}
	got := p.create(t, full)
	if guarded(t, []judge.Object{asObject(t, got)}) != 1 || len(got.Spec.InitContainers) != 2 || got.Spec.InitContainers[1].Name != "migrate" ||
		len(got.Spec.Volumes) != 2 || got.Spec.Volumes[0].Name != "data" || config(got) != "wicketgate" {
		t.Errorf("beside others: %v", got.Spec)
	}

	untouched := map[string]func(*corev1.Pod){
		"no label":      func(pod *corev1.Pod) { pod.Labels = nil },
		"another value": func(pod *corev1.Pod) { pod.Labels["wicketgate.io/inject"] = "false" },
		"an annotation only": func(pod *corev1.Pod) {
			pod.Labels, pod.Annotations = nil, map[string]string{"wicketgate.io/inject": "true", "wicketgate.io/config-map": "x"}
		},
		"a gate by hand": func(pod *corev1.Pod) {
			pod.Spec.Containers = append(pod.Spec.Containers, corev1.Container{Name: "wicketgate"})
		},
	}
	for what, change := range untouched {
		pod := application("")
		change(pod)
		if diff := cmp.Diff(pod, p.create(t, pod)); diff != "" {
			t.Errorf("%s: changed\n%s", what, diff)
		}
	}
}

// TestInjectorValues: what the chart's values say of it.
func TestInjectorValues(t *testing.T) {
	for label, want := range map[string]int{"yes": 1, "no": 0} {
		policy, binding := injector(t, map[string]any{
			"namespaceSelector": map[string]any{"matchLabels": map[string]any{"gates": label}}, "configMap": "gate",
			"resources": map[string]any{"limits": map[string]any{"memory": "64Mi"}},
			"extraEnv":  []any{map[string]any{"name": "CLIENT", "valueFrom": map[string]any{"secretKeyRef": map[string]any{"name": "s", "key": "k"}}}},
		})
		native, _ := gates(&newPlugIn(t, policy, binding).create(t, application("")).Spec)
		if len(native) != want {
			t.Fatalf("namespace selector %s: %d gates", label, len(native))
		}
		if want == 1 && (native[0].Resources.Limits.Memory().String() != "64Mi" || native[0].Env[1].ValueFrom.SecretKeyRef.Name != "s") {
			t.Errorf("resources and environment: %v", native[0])
		}
	}
}

// TestInjectorOff: the chart installs no policy unless it is asked to.
func TestInjectorOff(t *testing.T) {
	rendered, err := judge.Render(judge.Install{Chart: filepath.Join(charts, "wicketgate"), Set: map[string]any{"existingConfigMap": "x"}})
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range rendered.Manifests {
		if strings.Contains(text, "MutatingAdmissionPolicy") || bytes.Contains([]byte(name), []byte("injector")) {
			t.Errorf("%s is rendered", name)
		}
	}
}
