package prometheus

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/wicketgate/wicketgate/internal/process"
)

// rulesFile is what operators get.
const rulesFile = "../../charts/wicketgate/files/rules.yaml"

// server is a Prometheus of Debian that scrapes a gate once a second.
type server struct {
	t   *testing.T
	url string
}

func startServer(t *testing.T, target string, features ...string) *server {
	t.Helper()
	rules, err := filepath.Abs(rulesFile)
	if err != nil {
		t.Fatal(err)
	}
	dir, address := t.TempDir(), process.Free(t)
	config := fmt.Sprintf("global: {scrape_interval: 1s, evaluation_interval: 1s}\nrule_files: [%q]\nscrape_configs:\n  - {job_name: wicketgate, static_configs: [{targets: [%q]}]}\n", rules, target)
	if err := os.WriteFile(filepath.Join(dir, "prometheus.yml"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	process.RunPart(t, process.Part{Program: "prometheus", Listens: []string{address}, End: syscall.SIGKILL, Args: []string{
		"--config.file=" + filepath.Join(dir, "prometheus.yml"), "--storage.tsdb.path=" + filepath.Join(dir, "data"),
		"--web.listen-address=" + address, "--log.level=warn", "--enable-feature=" + strings.Join(features, ","),
	}})
	return &server{t, "http://" + address}
}

// sample is one series at one or at several times.
type sample struct {
	Metric    map[string]string
	Value     point
	Values    []point
	Histogram json.RawMessage
}

// point is a time and a value as the API gives them.
type point struct{ at, value float64 }

// UnmarshalJSON reads [1700000000.5, "0.25"].
func (p *point) UnmarshalJSON(text []byte) error {
	var pair [2]json.RawMessage
	if err := json.Unmarshal(text, &pair); err != nil {
		return err
	}
	var value string
	if err := json.Unmarshal(pair[1], &value); err != nil {
		return err
	}
	var err error
	if p.value, err = strconv.ParseFloat(value, 64); err != nil {
		return err
	}
	return json.Unmarshal(pair[0], &p.at)
}

// ask reads the data of an answer of the API into what data points to.
func (p *server) ask(path string, query url.Values, data any) error {
	answer, err := http.Get(p.url + "/api/v1/" + path + "?" + query.Encode())
	if err != nil {
		return err
	}
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		return err
	}
	var envelope struct {
		Status, Error string
		Data          json.RawMessage
	}
	if err := json.Unmarshal(text, &envelope); err != nil {
		return fmt.Errorf("%w: %s", err, text)
	}
	if envelope.Status != "success" {
		return fmt.Errorf("%s: %s", path, envelope.Error)
	}
	return json.Unmarshal(envelope.Data, data)
}

// query evaluates an expression now.
func (p *server) query(expression string) ([]sample, error) {
	var data struct {
		ResultType string
		Result     []sample
	}
	err := p.ask("query", url.Values{"query": {expression}}, &data)
	return data.Result, err
}

// numbers is how many series have a value that a panel can show.
func (p *server) numbers(expression string) (int, error) {
	samples, err := p.query(expression)
	shown := 0
	for _, s := range samples {
		if s.Histogram != nil || !math.IsNaN(s.Value.value) && !math.IsInf(s.Value.value, 0) {
			shown++
		}
	}
	return shown, err
}

// between evaluates an expression at many times.
func (p *server) between(expression string, from, to time.Time, step time.Duration) ([]sample, error) {
	var data struct{ Result []sample }
	err := p.ask("query_range", url.Values{
		"query": {expression}, "start": {seconds(from)}, "end": {seconds(to)}, "step": {fmt.Sprint(step.Seconds())},
	}, &data)
	return data.Result, err
}

func seconds(at time.Time) string {
	return strconv.FormatFloat(float64(at.UnixMilli())/1000, 'f', 3, 64)
}
