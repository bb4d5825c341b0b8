package policy

import (
	"testing"
	"time"
)

func TestACR(t *testing.T) {
	r := routeOf(t, Options{ACR: []string{"gold", "silver"}}, Resource{})
	const weak = "insufficient_user_authentication acr acr=[gold silver]"
	for members, want := range map[string]string{
		`"acr":"gold"`:                "",
		`"acr":"silver"`:              "",
		`"acr":"g\u006fld"`:           "",
		`"acr":"gold+"`:               weak, // STEP-08
		`"acr":"Gold"`:                weak,
		`"acr":"gold silver"`:         weak,
		`"acr":"platinum"`:            weak,
		`"acr":""`:                    weak,
		`"acr":["gold"]`:              weak,
		`"acr":{"value":"gold"}`:      weak,
		`"acr":1`:                     weak,
		`"acr":null`:                  weak,
		`"ACR":"gold"`:                weak,
		`"acr_values":"gold"`:         weak,
		`"act":{"acr":"gold"}`:        weak,
		`"acr":"\uff47\uff4f\uff4cd"`: weak,
		``:                            weak,
	} {
		wantAnswer(t, r, members, want)
	}
}

// An empty class is a class, and not what is absent.
func TestEmptyACR(t *testing.T) {
	r := routeOf(t, Options{ACR: []string{""}}, Resource{})
	wantAnswer(t, r, `"acr":""`, "")
	wantAnswer(t, r, `"acr":1`, "insufficient_user_authentication acr acr=[]")
	wantAnswer(t, r, ``, "insufficient_user_authentication acr acr=[]")
}

func TestAMR(t *testing.T) {
	r := routeOf(t, Options{AMR: []string{"otp", "pwd"}}, Resource{})
	const weak = "insufficient_user_authentication amr"
	for members, want := range map[string]string{
		`"amr":["pwd","otp"]`:             "",
		`"amr":["otp","mfa","pwd","otp"]`: "",
		`"amr":["otp"]`:                   weak,
		`"amr":["pwd"]`:                   weak,
		`"amr":["OTP","pwd"]`:             weak,
		`"amr":["otp pwd"]`:               weak,
		`"amr":"otp pwd"`:                 weak,
		`"amr":"otp"`:                     weak,
		`"amr":["otp","pwd",1]`:           weak,
		`"amr":[null,"otp","pwd"]`:        weak,
		`"amr":[["otp","pwd"]]`:           weak,
		`"amr":[{"value":"otp"},"pwd"]`:   weak,
		`"amr":{"otp":true,"pwd":true}`:   weak,
		`"amr":[]`:                        weak,
		`"amr":null`:                      weak,
		``:                                weak,
	} {
		wantAnswer(t, r, members, want)
	}
}

func TestMaxAge(t *testing.T) {
	r := routeOf(t, Options{MaxAge: 300 * time.Second}, Resource{})
	const old = "insufficient_user_authentication auth_time max_age=5m0s"
	for members, want := range map[string]string{
		`"auth_time":1799999701`:     "",  // T0-299
		`"auth_time":1799999700`:     "",  // T0-300
		`"auth_time":1799999699`:     old, // T0-301
		`"auth_time":1799999699.5`:   old,
		`"auth_time":1799999700.5`:   "",
		`"auth_time":1800000000`:     "",
		`"auth_time":1.8e9`:          "",
		`"auth_time":1800000001`:     old, // later than now and than iat
		`"auth_time":1800003600`:     old,
		`"auth_time":0`:              old,
		`"auth_time":-1`:             old,
		`"auth_time":"1800000000"`:   old,
		`"auth_time":"x"`:            old,
		`"auth_time":[1800000000]`:   old,
		`"auth_time":true`:           old,
		`"auth_time":null`:           old,
		`"auth_time":99999999999999`: old,
		`"auth_time":1e300`:          old,
		`"AUTH_TIME":1800000000`:     old,
		`"act":{"auth_time":1.8e9}`:  old,
		``:                           old,
	} {
		wantAnswer(t, r, members, want)
	}
	century := routeOf(t, Options{MaxAge: 100 * 365 * 24 * time.Hour}, Resource{})
	wantAnswer(t, century, `"auth_time":0`, "")
	wantAnswer(t, century, `"auth_time":-1`, "insufficient_user_authentication auth_time max_age=876000h0m0s")

	// The issuer's clock runs ahead of ours by 20 s, which its iat shows too.
	for members, want := range map[string]string{
		`"iat":1800000020,"auth_time":1800000019`: "",
		`"iat":1800000020,"auth_time":1800000020`: "",
		`"iat":1800000020,"auth_time":1800000021`: old,
		`"auth_time":1800000019`:                  old, // no iat to go by
	} {
		if got := answerOf(r.Authorize(&Request{}, callerWith(t, "{"+members+"}"), t0)); got != want {
			t.Errorf("{%s}: got %q, want %q", members, got, want)
		}
	}
}
