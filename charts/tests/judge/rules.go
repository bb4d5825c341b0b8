package judge

import (
	"fmt"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/pod-security-admission/api"
	psapolicy "k8s.io/pod-security-admission/policy"
)

// The user that the image runs as.
const user = 65532

// Rule is one of our own, by name. Check says what breaks it.
type Rule struct {
	Name  string
	Check func(Object) []string
}

// House is where the rules hold. Guests are the names of containers that are not
// the gate's: an application that it guards, what extraContainers adds. The rules
// about containers pass them by; the Pod Security Standard does not.
type House struct {
	Image  string // the only repository that images may come from, without a registry; default wicketgate/wicketgate
	Guests []string
}

// Judge says all that is wrong with the objects: the Pod Security Standard, then
// every rule. Each line begins with the object and names the rule.
func (h House) Judge(objects []Object) []string {
	var out []string
	for _, o := range objects {
		for _, why := range Restricted(o) {
			out = append(out, fmt.Sprintf("%s: pod-security: %s", o, why))
		}
		for _, rule := range h.Rules() {
			for _, why := range rule.Check(o) {
				out = append(out, fmt.Sprintf("%s: %s: %s", o, rule.Name, why))
			}
		}
	}
	return out
}

// Restricted says why the Pod Security Standard "restricted" refuses the object's
// pods.
func Restricted(o Object) []string {
	meta, spec := o.Pod()
	if spec == nil {
		return nil
	}
	evaluator, err := psapolicy.NewEvaluator(psapolicy.DefaultChecks(), nil)
	if err != nil {
		return []string{err.Error()}
	}
	level := api.LevelVersion{Level: api.LevelRestricted, Version: api.LatestVersion()}
	var out []string
	for _, r := range evaluator.EvaluatePod(level, meta, spec) {
		if !r.Allowed {
			out = append(out, strings.TrimSpace(r.ForbiddenReason+": "+r.ForbiddenDetail))
		}
	}
	return out
}

// Rules are those about containers, each held for every container that is no
// guest, and those about whole objects.
func (h House) Rules() []Rule {
	return []Rule{
		h.container("image-pinned", imagePinned),
		h.container("image-ours", h.imageOurs),
		h.container("ports-named", portsNamed),
		h.container("probes-on-admin", probesOnAdmin),
		h.container("drains", drains),
		h.container("memory-limit", memoryLimit),
		h.container("no-cpu-limit", noCPULimit),
		h.container("read-only-root", readOnlyRoot),
		h.container("drop-all", dropAll),
		h.pod("user-65532", userAndSeccomp),
		h.pod("no-account-token", noAccountToken),
		{"no-account-token", accountToken},
		{"no-config-checksum", noChecksum},
		{"selector-stable", selectorStable},
		{"service-ports-named", servicePorts},
		{"evictable", evictable},
	}
}

// container makes a rule of a check of one container.
func (h House) container(name string, check func(corev1.Container) []string) Rule {
	return Rule{name, func(o Object) []string {
		_, spec := o.Pod()
		if spec == nil {
			return nil
		}
		var out []string
		for _, c := range h.ours(spec) {
			for _, why := range check(c) {
				out = append(out, "container "+c.Name+": "+why)
			}
		}
		return out
	}}
}

func (h House) pod(name string, check func(*corev1.PodSpec, []corev1.Container) []string) Rule {
	return Rule{name, func(o Object) []string {
		_, spec := o.Pod()
		if spec == nil {
			return nil
		}
		return check(spec, h.ours(spec))
	}}
}

func (h House) ours(spec *corev1.PodSpec) []corev1.Container {
	all := slices.Concat(spec.InitContainers, spec.Containers)
	return slices.DeleteFunc(all, func(c corev1.Container) bool { return slices.Contains(h.Guests, c.Name) })
}

func imagePinned(c corev1.Container) []string {
	name, digest, pinned := strings.Cut(c.Image, "@")
	if pinned && strings.HasPrefix(digest, "sha256:") {
		return nil
	}
	_, tag, tagged := strings.Cut(name[strings.LastIndexByte(name, '/')+1:], ":")
	if !tagged || tag == "" || tag == "latest" {
		return []string{"image " + c.Image + " names no version"}
	}
	return nil
}

func (h House) imageOurs(c corev1.Container) []string {
	name, _, _ := strings.Cut(c.Image, "@")
	if at := strings.LastIndexByte(name, ':'); at > strings.LastIndexByte(name, '/') {
		name = name[:at]
	}
	if want := or(h.Image, "wicketgate/wicketgate"); name != want && !strings.HasSuffix(name, "/"+want) {
		return []string{"image " + c.Image + " is not " + want}
	}
	return nil
}

func portsNamed(c corev1.Container) []string {
	var out []string
	for _, p := range c.Ports {
		if p.Name == "" {
			out = append(out, fmt.Sprintf("port %d has no name", p.ContainerPort))
		}
		if p.HostPort != 0 {
			out = append(out, fmt.Sprintf("port %d is a port of the node", p.ContainerPort))
		}
	}
	if len(c.Ports) == 0 {
		out = append(out, "no ports")
	}
	return out
}

// probesOnAdmin: a probe of the traffic port would need a path without a token.
func probesOnAdmin(c corev1.Container) []string {
	var out []string
	for _, p := range []struct {
		name, path string
		probe      *corev1.Probe
	}{
		{"startup", "/livez", c.StartupProbe},
		{"liveness", "/livez", c.LivenessProbe},
		{"readiness", "/readyz", c.ReadinessProbe},
	} {
		switch {
		case p.probe == nil || p.probe.HTTPGet == nil:
			out = append(out, "no "+p.name+" probe over HTTP")
		case p.probe.HTTPGet.Path != p.path || portOf(c, p.probe.HTTPGet) != "admin":
			out = append(out, fmt.Sprintf("the %s probe asks %s at %s, not %s at the admin port", p.name, p.probe.HTTPGet.Path, p.probe.HTTPGet.Port.String(), p.path))
		}
	}
	return out
}

func portOf(c corev1.Container, get *corev1.HTTPGetAction) string {
	for _, p := range c.Ports {
		if get.Port.StrVal == p.Name || get.Port.StrVal == "" && get.Port.IntVal == p.ContainerPort {
			return p.Name
		}
	}
	return ""
}

func drains(c corev1.Container) []string {
	if c.Lifecycle == nil || c.Lifecycle.PreStop == nil || c.Lifecycle.PreStop.HTTPGet == nil {
		return []string{"no preStop hook over HTTP"}
	}
	if get := c.Lifecycle.PreStop.HTTPGet; get.Path != "/drain" || portOf(c, get) != "admin" {
		return []string{"the preStop hook asks " + get.Path + " at " + get.Port.String()}
	}
	return nil
}

func memoryLimit(c corev1.Container) []string {
	if c.Resources.Limits.Memory().IsZero() {
		return []string{"no limit of memory"}
	}
	return nil
}

func noCPULimit(c corev1.Container) []string {
	if !c.Resources.Limits.Cpu().IsZero() {
		return []string{"a limit of CPU, which throttles"}
	}
	return nil
}

func readOnlyRoot(c corev1.Container) []string {
	if s := c.SecurityContext; s == nil || s.ReadOnlyRootFilesystem == nil || !*s.ReadOnlyRootFilesystem {
		return []string{"the root file system can be written"}
	}
	return nil
}

func dropAll(c corev1.Container) []string {
	s := c.SecurityContext
	if s == nil || s.Capabilities == nil || !slices.Contains(s.Capabilities.Drop, "ALL") || len(s.Capabilities.Add) > 0 {
		return []string{"capabilities are kept"}
	}
	if s.AllowPrivilegeEscalation == nil || *s.AllowPrivilegeEscalation {
		return []string{"privileges may be raised"}
	}
	return nil
}

func userAndSeccomp(spec *corev1.PodSpec, ours []corev1.Container) []string {
	pod := spec.SecurityContext
	if pod == nil {
		pod = &corev1.PodSecurityContext{}
	}
	var out []string
	for _, c := range ours {
		uid, nonRoot, seccomp := pod.RunAsUser, pod.RunAsNonRoot, pod.SeccompProfile
		if s := c.SecurityContext; s != nil {
			uid, nonRoot, seccomp = first(s.RunAsUser, uid), first(s.RunAsNonRoot, nonRoot), first(s.SeccompProfile, seccomp)
		}
		if uid == nil || *uid != user {
			out = append(out, fmt.Sprintf("container %s: user is not %d", c.Name, user))
		}
		if nonRoot == nil || !*nonRoot {
			out = append(out, "container "+c.Name+": may run as root")
		}
		if seccomp == nil || seccomp.Type != corev1.SeccompProfileTypeRuntimeDefault {
			out = append(out, "container "+c.Name+": seccomp is not RuntimeDefault")
		}
	}
	return out
}

func first[T any](given, fallback *T) *T {
	if given != nil {
		return given
	}
	return fallback
}

// noAccountToken judges pods of our own only: a guest's pod is its owner's.
func noAccountToken(spec *corev1.PodSpec, ours []corev1.Container) []string {
	if len(ours) == len(spec.Containers)+len(spec.InitContainers) &&
		(spec.AutomountServiceAccountToken == nil || *spec.AutomountServiceAccountToken) {
		return []string{"the token of a service account is mounted"}
	}
	return nil
}

func accountToken(o Object) []string {
	sa, ok := o.Typed.(*corev1.ServiceAccount)
	if ok && (sa.AutomountServiceAccountToken == nil || *sa.AutomountServiceAccountToken) {
		return []string{"the account's token is mounted wherever it is used"}
	}
	return nil
}

// noChecksum: the gate reloads by itself, and a checksum would restart it for
// what it can take in its stride.
func noChecksum(o Object) []string {
	meta, _ := o.Pod()
	if meta == nil {
		return nil
	}
	for name := range meta.Annotations {
		if strings.HasPrefix(name, "checksum/") {
			return []string{"annotation " + name + " restarts pods that would have reloaded"}
		}
	}
	return nil
}

// selectorStable: a selector cannot be changed, so nothing that changes with a
// release of the chart may be in it.
func selectorStable(o Object) []string {
	var selector, labels map[string]string
	switch typed := o.Typed.(type) {
	case *appsv1.Deployment:
		selector, labels = typed.Spec.Selector.MatchLabels, typed.Spec.Template.Labels
	case *corev1.Service:
		selector = typed.Spec.Selector
		labels = selector
	default:
		return nil
	}
	var out []string
	for _, name := range []string{"app.kubernetes.io/version", "helm.sh/chart", "app.kubernetes.io/managed-by"} {
		if _, ok := selector[name]; ok {
			out = append(out, "selects by "+name)
		}
	}
	for name, value := range selector {
		if labels[name] != value {
			out = append(out, "selects by "+name+", which its pods do not have")
		}
	}
	if len(selector) == 0 {
		out = append(out, "selects everything")
	}
	return out
}

func servicePorts(o Object) []string {
	s, ok := o.Typed.(*corev1.Service)
	if !ok {
		return nil
	}
	var out []string
	for _, p := range s.Spec.Ports {
		if p.Name == "" || p.TargetPort.StrVal == "" {
			out = append(out, fmt.Sprintf("port %d has no name, or goes to a number", p.Port))
		}
	}
	return out
}

// evictable: a budget must not hold a node for pods that do not work.
func evictable(o Object) []string {
	b, ok := o.Typed.(*policyv1.PodDisruptionBudget)
	if ok && (b.Spec.UnhealthyPodEvictionPolicy == nil || *b.Spec.UnhealthyPodEvictionPolicy != policyv1.AlwaysAllow) {
		return []string{"unhealthy pods hold a node"}
	}
	return nil
}
