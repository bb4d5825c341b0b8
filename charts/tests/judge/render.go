// Package judge renders what a chart would install and says what is wrong with
// it: fields that Kubernetes does not know, pods that the Pod Security Standard
// "restricted" refuses, and breaches of rules of our own. It asks no cluster.
package judge

import (
	"fmt"
	"maps"
	"os"
	"path"
	"slices"
	"strings"

	"helm.sh/helm/v4/pkg/chart/common"
	"helm.sh/helm/v4/pkg/chart/common/util"
	chart "helm.sh/helm/v4/pkg/chart/v2"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	chartutil "helm.sh/helm/v4/pkg/chart/v2/util"
	"helm.sh/helm/v4/pkg/engine"
	"sigs.k8s.io/yaml"
)

// Install says what to render: a chart's folder, values files (a later one wins)
// and values given by hand, which win over files. What is empty has a default:
// release "gate" in namespace "edge".
type Install struct {
	Chart     string
	Libraries []string // folders of charts that Chart depends on and that do not lie in its charts/
	Files     []string
	Set       map[string]any
	Release   string
	Namespace string
	APIs      []string // served besides those of every cluster, like monitoring.coreos.com/v1
}

// Rendered is what came of a chart.
type Rendered struct {
	Manifests map[string]string // by the template's name, without the chart's; documents that render to nothing are left out
	Notes     string
}

// Render renders a chart with helm's own engine, after its own check of the
// values against the chart's schema.
func Render(in Install) (Rendered, error) {
	c, err := in.load()
	if err != nil {
		return Rendered{}, err
	}
	values, err := in.values()
	if err != nil {
		return Rendered{}, err
	}
	if err := chartutil.ProcessDependencies(c, values); err != nil {
		return Rendered{}, fmt.Errorf("dependencies: %w", err)
	}
	caps := common.DefaultCapabilities.Copy()
	caps.APIVersions = append(slices.Clone(caps.APIVersions), in.APIs...)
	top, err := util.ToRenderValues(c, values, common.ReleaseOptions{
		Name: or(in.Release, "gate"), Namespace: or(in.Namespace, "edge"), Revision: 1, IsInstall: true,
	}, caps)
	if err != nil {
		return Rendered{}, err
	}
	files, err := engine.Render(c, top)
	if err != nil {
		return Rendered{}, err
	}
	out := Rendered{Manifests: map[string]string{}}
	for name, text := range files {
		switch base := path.Base(name); {
		case base == "NOTES.txt" && strings.Count(name, "/charts/") == 0:
			out.Notes = text
		case strings.HasSuffix(base, ".yaml") && strings.TrimSpace(text) != "":
			_, short, _ := strings.Cut(name, "/")
			out.Manifests[short] = text
		}
	}
	return out, nil
}

func (in Install) load() (*chart.Chart, error) {
	c, err := loader.Load(in.Chart)
	if err != nil {
		return nil, fmt.Errorf("chart %s: %w", in.Chart, err)
	}
	for _, dir := range in.Libraries {
		lib, err := loader.Load(dir)
		if err != nil {
			return nil, fmt.Errorf("chart %s: %w", dir, err)
		}
		c.AddDependency(lib)
	}
	return c, nil
}

func (in Install) values() (map[string]any, error) {
	all := map[string]any{}
	for _, name := range in.Files {
		data, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		var one map[string]any
		if err := yaml.UnmarshalStrict(data, &one); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		all = loader.MergeMaps(all, one)
	}
	return loader.MergeMaps(all, in.Set), nil
}

// Objects are the strictly decoded documents of all manifests, in the order of
// the templates' names.
func (r Rendered) Objects() ([]Object, error) {
	var out []Object
	for _, name := range slices.Sorted(maps.Keys(r.Manifests)) {
		objects, err := Decode(name, []byte(r.Manifests[name]))
		if err != nil {
			return nil, err
		}
		out = append(out, objects...)
	}
	return out, nil
}

func or(given, fallback string) string {
	if given == "" {
		return fallback
	}
	return given
}
