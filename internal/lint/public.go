package lint

import (
	"fmt"
	"slices"
	"strings"

	"github.com/wicketgate/wicketgate/config"
)

// inner are segments of paths that are for operators, in lower case.
var inner = strings.Fields("admin administration administrator internal private actuator debug pprof metrics prometheus swagger swagger-ui swagger-ui.html " +
	"graphiql console manage management backoffice jolokia heapdump threaddump h2-console phpmyadmin env .env .git config.json server-status jmx-console")

// harmless are segments that stand open beside locked ones everywhere.
var harmless = strings.Fields("health healthz livez readyz live ready liveness readiness ping version login logout callback token .well-known favicon.ico robots.txt")

// privatePath finds routes that ask nobody, at paths that look as if they
// should.
func privatePath(l *linter) {
	l.unasked(func(one route, _ []route) (key, message, hint string) {
		i := slices.IndexFunc(one.segments, func(s string) bool { return slices.Contains(inner, strings.ToLower(s)) })
		if i < 0 {
			return "", "", ""
		}
		return "path", "needs no token, though /" + one.segments[i] + " is most often for operators", "remove public or optional, or keep the path from this resource"
	})
}

// everything finds routes that ask nobody, wherever no other route says
// something.
func everything(l *linter) {
	l.unasked(func(one route, _ []route) (key, message, hint string) {
		if !open(one.segments) || len(literals(one.segments)) > 0 || one.Optional {
			return "", "", ""
		}
		return "path", "needs no token for all that no other route names, also for what the API gains later", "list what is public, like /static/**"
	})
}

// unsafe finds routes by which anybody may change something.
func unsafe(l *linter) {
	l.unasked(func(one route, _ []route) (key, message, hint string) {
		for _, m := range one.Methods {
			if one.Public && slices.Contains([]string{"POST", "PUT", "PATCH", "DELETE"}, m) {
				return "methods", "lets everybody " + m + " without a token", "remove it from methods, or public"
			}
		}
		if one.Public && len(one.Methods) == 0 && open(one.segments) && len(literals(one.segments)) > 0 {
			return "path", "lets everybody write without a token: it takes every method", "list methods, like [GET]"
		}
		return "", "", ""
	})
}

// amongScoped finds a route that asks nobody where all around it ask for
// something.
func amongScoped(l *linter) {
	l.unasked(func(one route, all []route) (key, message, hint string) {
		front := one.segments[:max(0, len(one.segments)-1)]
		if len(literals(front)) == 0 || !one.Public || slices.Contains(harmless, one.segments[len(one.segments)-1]) {
			return "", "", ""
		}
		first := -1
		for _, other := range all {
			if len(other.segments) < len(front) || !slices.Equal(other.segments[:len(front)], front) || other.Public || one.covers(other) || !one.share(other) {
				continue
			}
			if !other.asks {
				return "", "", ""
			}
			if first < 0 {
				first = other.index
			}
		}
		if first < 0 {
			return "", "", ""
		}
		return "path", fmt.Sprintf("needs no token, while all else below /%s asks for more than one, like routes[%d]", strings.Join(front, "/"), first), "remove public, or move the path away from there"
	})
}

// unasked calls look for each route that takes requests without a token, and
// notes what it says.
func (l *linter) unasked(look func(one route, all []route) (key, message, hint string)) {
	l.resources(func(path string, r *config.Resource) {
		all := l.routes(path, r)
		for _, one := range all {
			if !one.Public && !one.Optional {
				continue
			}
			near := slices.DeleteFunc(slices.Clone(all), func(other route) bool { return !one.meets(other) })
			if key, message, hint := look(one, near); key != "" {
				l.doubt(one.at+"."+key, message, hint)
			}
		}
	})
}
