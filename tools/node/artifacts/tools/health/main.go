// health says what GitOps tools make of objects: kstatus (Flux, Helm, kpt) and Argo CD.
//
// It reads JSON objects from standard input, one after the other, and writes one line of JSON for each. Its argument is
// the name of a file with the Lua of an Argo CD health check, as it stands in the ConfigMap argocd-cm.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	lua "github.com/yuin/gopher-lua"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/cli-utils/pkg/kstatus/status"
)

type verdict struct {
	Status  string `json:"status"`
	Message string `json:"message"`
}

type verdicts struct {
	Kstatus verdict `json:"kstatus"`
	Argo    verdict `json:"argo"`
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run() error {
	if len(os.Args) != 2 {
		return errors.New("usage: health HEALTH.lua <OBJECTS.json")
	}
	script, err := os.ReadFile(os.Args[1])
	if err != nil {
		return err
	}
	in, out := json.NewDecoder(os.Stdin), json.NewEncoder(os.Stdout)
	for {
		var obj map[string]any
		if err := in.Decode(&obj); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		found, err := judge(obj, string(script))
		if err != nil {
			return err
		}
		if err := out.Encode(found); err != nil {
			return err
		}
	}
}

func judge(obj map[string]any, script string) (verdicts, error) {
	// kstatus wants whole numbers as an API client decodes them.
	typed := &unstructured.Unstructured{}
	raw, err := json.Marshal(obj)
	if err != nil {
		return verdicts{}, err
	}
	if err := typed.UnmarshalJSON(raw); err != nil {
		return verdicts{}, err
	}
	found, err := status.Compute(typed)
	if err != nil {
		return verdicts{}, err
	}
	argo, err := argoHealth(obj, script)
	return verdicts{verdict{string(found.Status), found.Message}, argo}, err
}

// argoHealth runs a health check as Argo CD does (its util/lua, without useOpenLibs): with the libraries package, base
// and table, the object as the global `obj`, and a table with `status` and `message` as the result.
func argoHealth(obj map[string]any, script string) (verdict, error) {
	state := lua.NewState(lua.Options{SkipOpenLibs: true})
	defer state.Close()
	libraries := []struct {
		name string
		open lua.LGFunction
	}{{lua.LoadLibName, lua.OpenPackage}, {lua.BaseLibName, lua.OpenBase}, {lua.TabLibName, lua.OpenTable}}
	for _, library := range libraries {
		open := lua.P{Fn: state.NewFunction(library.open), Protect: true}
		if err := state.CallByParam(open, lua.LString(library.name)); err != nil {
			return verdict{}, err
		}
	}
	state.SetGlobal("obj", asLua(state, obj))
	if err := state.DoString(script); err != nil {
		return verdict{}, err
	}
	table, ok := state.Get(-1).(*lua.LTable)
	if !ok {
		return verdict{}, errors.New("the script returned no table")
	}
	found := verdict{lua.LVAsString(table.RawGetString("status")), lua.LVAsString(table.RawGetString("message"))}
	switch found.Status {
	case "Healthy", "Progressing", "Degraded", "Suspended", "Missing", "Unknown":
		return found, nil
	}
	return found, fmt.Errorf("Argo CD has no health status %q", found.Status)
}

func asLua(state *lua.LState, value any) lua.LValue {
	switch value := value.(type) {
	case bool:
		return lua.LBool(value)
	case float64:
		return lua.LNumber(value)
	case string:
		return lua.LString(value)
	case []any:
		table := state.NewTable()
		for _, entry := range value {
			table.Append(asLua(state, entry))
		}
		return table
	case map[string]any:
		table := state.NewTable()
		for name, entry := range value {
			table.RawSetString(name, asLua(state, entry))
		}
		return table
	}
	return lua.LNil
}
