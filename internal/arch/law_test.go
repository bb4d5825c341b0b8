package arch

// law is everything the rules compare the tree with.
type law struct {
	floors    map[string]int
	outside   []string            // folders that stand on no floor
	mayImport map[string][]string // packages held tighter than by their floor
	demo      string              // the demo issuer: no product package depends on it
	demoUsers []string

	doors     map[string][]string // module path -> packages that may import it
	testDoors []string            // modules only tests may import
	bans      []ban

	packageLines  int
	raisedLines   map[string]budget
	functionLines int
	longFunctions map[string]string // "package.Function" -> why it is not split

	principal      string   // the type that only its makers may build
	principalMaker []string // packages
}

// A ban forbids an import, and says why in the message.
type ban struct {
	path   string   // an import path, or one ending in "/..." for all below it
	in     []string // the packages it holds for; none means all
	except []string
	why    string
}

// A budget is a line count raised on purpose.
type budget struct {
	lines int
	why   string
}

// wicketgate is the law of this module.
var wicketgate = law{
	floors: map[string]int{
		"cmd/wicketgate":       7,
		"internal/lint":        6,
		"internal/admin":       6,
		"internal/tracing":     6,
		"internal/replay":      6,
		"internal/trial":       6,
		"internal/rehearsal":   5,
		"config":               5,
		"internal/telemetry":   5,
		"internal/recorded":    5,
		"internal/decisions":   5,
		"proxy":                4,
		"proxy/clientcert":     1,
		"proxy/extauthz":       5,
		"proxy/assertion":      2,
		"proxy/bound":          0,
		"proxy/fieldvalue":     1,
		"proxy/forwardauth":    5,
		"proxy/forwarded":      0,
		"proxy/middleware":     5,
		"proxy/onward":         1,
		"proxy/places":         0,
		"proxy/proxyprotocol":  0,
		"proxy/quiet":          0,
		"proxy/report":         0,
		"proxy/streams":        0,
		"proxy/tunnel":         0,
		"validator":            3,
		"validator/dpop":       2,
		"validator/introspect": 2,
		"validator/status":     2,
		"jwks":                 1,
		"jwks/repeated":        0,
		"policy":               2,
		"policy/expr":          1,
		"token":                0,
		"internal/spans":       -1,
		"internal/fetch":       0,
		"internal/keep":        0,
		"internal/masked":      1,
		"internal/headroom":    0,
		"internal/redis":       0,
		"internal/signer":      1,
		"validator/budget":     0,
		"validator/cache":      0,
		"validator/replay":     0,
		"validator/revoke":     1,
		"validator/signals":    2,
		"internal/devissuer":   0,
		"internal/clock":       0,
		"internal/crl":         0,
		"internal/denials":     2,
		"internal/live":        3,
		"internal/bypass":      0,
		"internal/probes":      0,
		"internal/imports":     3,
	},
	// The root holds tests of the documents only; the others measure and try what is
	// built, and the product never imports them.
	outside: []string{"", "bench", "e2e", "internal/arch", "internal/conformance", "internal/mutants", "internal/process", "internal/sbom", "internal/smuggle", "internal/soak", "internal/soak/echo", "internal/wycheproof"},
	mayImport: map[string][]string{
		"jwks":                 {"token", "internal/fetch", "internal/keep", "jwks/repeated"},
		"policy":               {"policy/expr", "token"},
		"policy/expr":          {"token"},
		"validator/dpop":       {"token", "jwks", "validator/budget", "validator/replay"},
		"validator/introspect": {"token", "jwks", "internal/fetch", "internal/signer", "internal/spans"},
		"validator/status":     {"token", "jwks", "internal/fetch"},
		"validator/revoke":     {"token"},
		"validator/signals":    {"token", "jwks", "validator/revoke"},
		"internal/imports":     {"policy"}, // its tests only
		"internal/live":        {"token", "jwks", "internal/fetch", "internal/redis", "internal/denials", "internal/bypass", "validator/introspect"},
		"internal/denials":     {"validator/revoke", "internal/redis"},
		"proxy":                {"policy", "proxy/assertion", "proxy/bound", "proxy/clientcert", "proxy/fieldvalue", "proxy/forwarded", "proxy/onward", "proxy/places", "proxy/quiet", "proxy/report", "proxy/streams", "proxy/tunnel", "token", "internal/spans"},
		"proxy/forwardauth":    {"proxy", "token"},
		"proxy/middleware":     {"proxy", "token"},
		"internal/recorded":    {"token", "policy", "proxy"},
		"proxy/assertion":      {"token", "internal/signer", "proxy/fieldvalue"},
		"internal/lint":        {"config", "policy"},
		"internal/admin":       {"internal/telemetry"},
		"internal/decisions":   {"token", "proxy", "internal/masked"},
		"internal/replay":      {"token", "policy", "proxy", "validator", "internal/decisions"},
		"proxy/clientcert":     {"token"},
		"proxy/extauthz":       {"token", "policy", "proxy"},
		"proxy/fieldvalue":     {"token"},
		"internal/signer":      {"token"},
		"internal/tracing":     {"internal/spans", "internal/telemetry", "proxy"},
	},
	demo:      "internal/devissuer",
	demoUsers: []string{"cmd/wicketgate", "internal/rehearsal"},

	doors: map[string][]string{
		"github.com/lestrrat-go/jwx/v2":       {"jwks"},
		"github.com/hashicorp/golang-lru/v2":  {"jwks", "validator/budget", "validator/cache", "validator", "validator/introspect", "proxy/assertion"},
		"filippo.io/bigmod":                   {"jwks/repeated"},
		"github.com/prometheus/client_golang": {"internal/telemetry"},
		"go.uber.org/zap":                     {"internal/telemetry", "cmd/wicketgate"},
		"go.yaml.in/yaml/v4":                  {"config", "internal/imports"},
		"cel.dev/cel-go":                      {"policy/expr"},
		"github.com/redis/rueidis":            {"internal/redis"},

		"github.com/KimMachineGun/automemlimit": {"cmd/wicketgate"},

		"google.golang.org/grpc":                       {"proxy/extauthz", "internal/tracing"},
		"google.golang.org/genproto/googleapis/rpc":    {"proxy/extauthz"},
		"github.com/envoyproxy/go-control-plane/envoy": {"proxy/extauthz"},

		"github.com/go-logr/logr":                                         {"internal/tracing"}, // to keep OpenTelemetry from writing a log of its own
		"go.opentelemetry.io/otel":                                        {"internal/tracing"},
		"go.opentelemetry.io/proto/otlp":                                  {"internal/tracing"},
		"go.opentelemetry.io/otel/exporters/otlp/otlptrace":               {"internal/tracing"},
		"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp": {"internal/tracing"},
		"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc": {"internal/tracing"},
	},
	testDoors: []string{
		"go.opentelemetry.io/proto/otlp",
		"google.golang.org/grpc",
		"google.golang.org/protobuf",
		"go.uber.org/goleak",
		"google.golang.org/protobuf",
		"github.com/alicebob/miniredis/v2",
		"github.com/rogpeppe/go-internal",
		"github.com/santhosh-tekuri/jsonschema/v6",
	},
	bans: []ban{
		{path: "github.com/lestrrat-go/jwx/v2/jwt/...", why: "our own parser and checks decide, jwx reads keys only (docs/decisions/0001)"},
		{path: "github.com/lestrrat-go/jwx/v2/jws/...", why: "signatures are checked by the standard library (docs/decisions/0001)"},
		{path: "github.com/lestrrat-go/jwx/v2/jwe/...", why: "there is no encryption here (docs/decisions/0001)"},
		{path: "os", in: []string{"token", "policy", "policy/expr", "validator", "validator/dpop", "validator/introspect", "validator/revoke", "validator/signals", "validator/status"}, why: "what decides reads no files"},
		{path: "net", in: []string{"token", "policy", "policy/expr", "validator/dpop", "validator/revoke"}, why: "what decides asks nobody"},
		// net/http asks for a *log.Logger where it has something to say.
		{path: "log", why: "lower packages report through a func field, internal/telemetry logs", except: []string{"internal/telemetry", "cmd/wicketgate", "proxy", "internal/devissuer"}},
		{path: "log/slog", why: "zap logs, in internal/telemetry", except: []string{"internal/telemetry"}},
		{path: "math/rand", why: "math/rand/v2 for jitter, crypto/rand for all else"},
		{path: "math/rand/v2", in: []string{"token", "validator", "validator/dpop", "validator/replay", "internal/devissuer"}, why: "what must not be guessed comes from crypto/rand"},
		{path: "net/http/pprof", why: "it registers itself on the default mux; internal/admin has handlers of its own"},
		{path: "expvar", why: "it registers itself on the default mux"},
		{path: "unsafe", why: "nothing here is worth it"},
		{path: "plugin", why: "nothing is loaded at run time"},
		{path: "C", why: "the image is static"},
		{path: "io/ioutil", why: "io and os have it all"},
		{path: "crypto/md5", why: "broken"},
		{path: "crypto/des", why: "broken"},
		{path: "crypto/rc4", why: "broken"},
	},

	packageLines: 900,
	raisedLines: map[string]budget{
		"proxy/onward":   {1000, "one exchange is one thing: who writes and who reads share what they know of a connection"},
		"proxy":          {5050, "one decision, every HTTP front door that asks for it and the core for those that ask for others, what becomes of streams, a wait for the upstream that each route sets for itself with either transport, what those see who may not know of a route, and what keeps all that from costing an allocation each"},
		"cmd/wicketgate": {6400, "a file for each command, the command line, the wiring, where each key of the file has its line, what the admin listener tells of all that, and what serves the page of the demo"},

		"config":               {5500, "the file's shape with a sentence for each key, a strict decoder, every complaint with its place, the schema, the watch, and the file as it may be shown"},
		"token":                {2340, "the vocabulary of all others, the scanner that every octet from outside passes, and the form in which many claims are kept"},
		"validator":            {1900, "tokens that speak for themselves, those their issuer is asked about, those of clients it is not believed about, those a status list or a deny rule tells of, and all of them again while a stream lasts"},
		"policy":               {2300, "paths, the ways in which others read them, routes by host and path, and each thing a route may ask of a caller, with what explain shows of it"},
		"jwks":                 {2350, "keys are read twice, by us and by jwx, and weak ones are told, since that door is where forgeries would come in; they are kept through outages, in memory and on disk; and verdicts of tables are held to the standard library's"},
		"jwks/repeated":        {400, "all that the tables may come to, or they are not worth it (docs/decisions/0035)"},
		"policy/expr":          {1160, "a value of the language for each thing that a claim can be, decoded when it is asked for, and all that is refused before an expression runs"},
		"internal/devissuer":   {1610, "the issuer, its attackers and its clients: the other side of every test; and the page of the demo, which asks it from another origin"},
		"validator/dpop":       {960, "the checks of a proof in the order of their cost, nonces, and the two times when a store has forgotten: after a start, and after the wall clock was set back"},
		"validator/introspect": {1450, "two protocols, four ways to say who asks, two forms of an answer, sharing answers sealed, and a barrier for panics while asking"},
		"internal/denials":     {1150, "three sources, what each does when it is in trouble, and the two that we write too"},
		"internal/imports":     {4500, "five formats, each with its own way to say who may do what, and what makes one rule for each request of them"},
		"internal/mutants":     {1500, "finding checks, giving each a switch, learning which tests reach them, and the table of what was noticed"},
		"internal/telemetry":   {2480, "every metric, label and exemplar in one place, what the status page sums up of them, and the log with all that may not hold the gate up"},
		"internal/decisions":   {1050, "the line: its schema, its writer, its reader, and where it goes"},
		"internal/tracing":     {1260, "what a span says, a queue that never waits, what the library's client is told, and the OTEL_* variables, checked before it reads them (docs/decisions/0043)"},
		"internal/lint":        {1040, "a function for each rule, its words and what it has to know of routes: paths, methods and hosts"},
		"internal/soak":        {2950, "all that surrounds a gate, the verdicts it owes, and the table of what it gave"},
		"internal/soak/echo":   {1400, "two kinds of client, two of upstream, each with every fault, and the judge"},
	},
	functionLines: 60,
	longFunctions: map[string]string{},

	principal:      "token.Principal",
	principalMaker: []string{"validator"},
}
