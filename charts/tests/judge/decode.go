package judge

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"sync"

	monitoring "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer/json"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	clientscheme "k8s.io/client-go/kubernetes/scheme"
	gateway "sigs.k8s.io/gateway-api/apis/v1"
)

// Object is one document: what it says, and what Kubernetes reads in it.
type Object struct {
	Source string // the template or file
	YAML   []byte
	Typed  runtime.Object
	Kind   string
}

// Name is the object's name.
func (o Object) Name() string {
	if m, ok := o.Typed.(metav1.Object); ok {
		return m.GetName()
	}
	return ""
}

func (o Object) String() string { return fmt.Sprintf("%s: %s/%s", o.Source, o.Kind, o.Name()) }

// Pod is the object's pod or pod template, nil when it has none.
func (o Object) Pod() (*metav1.ObjectMeta, *corev1.PodSpec) {
	var t *corev1.PodTemplateSpec
	switch typed := o.Typed.(type) {
	case *corev1.Pod:
		return &typed.ObjectMeta, &typed.Spec
	case *appsv1.Deployment:
		t = &typed.Spec.Template
	case *appsv1.StatefulSet:
		t = &typed.Spec.Template
	case *appsv1.DaemonSet:
		t = &typed.Spec.Template
	case *appsv1.ReplicaSet:
		t = &typed.Spec.Template
	case *batchv1.Job:
		t = &typed.Spec.Template
	case *batchv1.CronJob:
		t = &typed.Spec.JobTemplate.Spec.Template
	default:
		return nil, nil
	}
	return &t.ObjectMeta, &t.Spec
}

// Scheme knows the types of Kubernetes, of the Prometheus operator and of the
// Gateway API.
func Scheme() (*runtime.Scheme, error) {
	s := runtime.NewScheme()
	err := errors.Join(clientscheme.AddToScheme(s), monitoring.AddToScheme(s), gateway.Install(s))
	return s, err
}

// strictly is made once: registering all types takes longer than reading a file.
var strictly = sync.OnceValues(func() (runtime.Decoder, error) {
	scheme, err := Scheme()
	return json.NewSerializerWithOptions(json.DefaultMetaFactory, scheme, scheme, json.SerializerOptions{Yaml: true, Strict: true}), err
})

// Decode reads all documents of a file and refuses unknown and repeated fields,
// fields of a wrong type and kinds that Scheme does not know.
func Decode(source string, data []byte) ([]Object, error) {
	strict, err := strictly()
	if err != nil {
		return nil, err
	}
	documents := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(data)))
	var out []Object
	var wrong []error
	for {
		doc, err := documents.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", source, err)
		}
		if empty(doc) {
			continue
		}
		typed, gvk, err := strict.Decode(doc, nil, nil)
		if err != nil {
			wrong = append(wrong, fmt.Errorf("%s: %w", source, err))
			continue
		}
		out = append(out, Object{Source: source, YAML: doc, Typed: typed, Kind: gvk.Kind})
	}
	return out, errors.Join(wrong...)
}

// empty reports a document of comments and blank lines only.
func empty(doc []byte) bool {
	for line := range bytes.Lines(doc) {
		if line = bytes.TrimSpace(line); len(line) > 0 && line[0] != '#' && !bytes.Equal(line, []byte("---")) {
			return false
		}
	}
	return true
}
