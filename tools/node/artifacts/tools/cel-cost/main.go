// Command cel-cost says what the CEL rules of CustomResourceDefinitions cost, as the API server's own library counts.
//
//	cel-cost CRD.yaml... [-objects OBJECT.json...]
//
// It prints one JSON object: for each definition the estimated cost of every rule and what the API server finds wrong,
// and for each object what its validation cost and which rules it breaks.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"strings"
	"time"

	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/install"
	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/validation"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/defaulting"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	"k8s.io/apimachinery/pkg/util/validation/field"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
	"k8s.io/apiserver/pkg/cel/environment"
	"sigs.k8s.io/yaml"
)

type report struct {
	Limits      limits       `json:"limits"`
	Definitions []definition `json:"definitions"`
	Objects     []object     `json:"objects"`
}

type limits struct {
	Definition uint64 `json:"definition"`
	Rule       uint64 `json:"rule"`
	Object     uint64 `json:"object"`
}

type definition struct {
	Kind    string   `json:"kind"`
	Rules   []rule   `json:"rules"`
	Refused []string `json:"refused"`
}

type rule struct {
	Path string `json:"path"`
	Rule string `json:"rule"`
	Cost uint64 `json:"cost"`
}

type object struct {
	File    string   `json:"file"`
	Cost    int64    `json:"cost"`
	Seconds float64  `json:"seconds"`
	Refused []string `json:"refused"`
}

func main() {
	found, err := examine(os.Args[1:])
	if err == nil {
		err = json.NewEncoder(os.Stdout).Encode(found)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "cel-cost:", err)
		os.Exit(1)
	}
}

func examine(arguments []string) (*report, error) {
	found := &report{Limits: limits{
		Definition: validation.StaticEstimatedCRDCostLimit,
		Rule:       validation.StaticEstimatedCostLimit,
		Object:     celconfig.RuntimeCELCostBudget,
	}}
	schemas := map[string]*apiextensions.JSONSchemaProps{}
	objects := false
	for _, argument := range arguments {
		if argument == "-objects" {
			objects = true
			continue
		}
		text, err := os.ReadFile(argument)
		if err != nil {
			return nil, err
		}
		if objects {
			cost, err := costOfObject(schemas, text)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", argument, err)
			}
			cost.File = argument
			found.Objects = append(found.Objects, *cost)
			continue
		}
		crd, err := decoded(text)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", argument, err)
		}
		kind := crd.Spec.Names.Kind
		schemas[kind] = crd.Spec.Validation.OpenAPIV3Schema
		each := definition{Kind: kind, Refused: messages(validation.ValidateCustomResourceDefinition(context.Background(), crd))}
		if err := addRules(&each, schemas[kind], validation.RootCELContext(schemas[kind]), ""); err != nil {
			return nil, fmt.Errorf("%s: %w", argument, err)
		}
		found.Definitions = append(found.Definitions, each)
	}
	return found, nil
}

// decoded reads a definition as the API server does: with its defaults, and with a schema that all versions share in
// spec.validation.
func decoded(text []byte) (*apiextensions.CustomResourceDefinition, error) {
	scheme := runtime.NewScheme()
	install.Install(scheme)
	decoder := serializer.NewCodecFactory(scheme).UniversalDecoder(apiextensions.SchemeGroupVersion)
	read, _, err := decoder.Decode(text, nil, nil)
	if err != nil {
		return nil, err
	}
	crd, ok := read.(*apiextensions.CustomResourceDefinition)
	if !ok {
		return nil, fmt.Errorf("not a CustomResourceDefinition: %T", read)
	}
	if len(crd.Spec.Versions) != 1 || crd.Spec.Validation == nil || crd.Spec.Validation.OpenAPIV3Schema == nil {
		return nil, fmt.Errorf("%s: expected one version with a schema", crd.Name)
	}
	// The API server writes this before it validates.
	crd.Status.StoredVersions = []string{crd.Spec.Versions[0].Name}
	return crd, nil
}

// addRules adds the rules of the schema and of everything below it, with the cost by which the API server decides
// whether it takes the definition: one evaluation, times how often the lists and maps around it can repeat it.
func addRules(
	into *definition, props *apiextensions.JSONSchemaProps, at *validation.CELSchemaContext, path string,
) error {
	if len(props.XValidations) > 0 {
		info, err := at.TypeInfo()
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		base := environment.MustBaseEnvSet(environment.DefaultCompatibilityVersion())
		compiled, err := cel.Compile(
			info.Schema, info.DeclType, celconfig.PerCallLimit, base, cel.NewExpressionsEnvLoader())
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		for i, each := range compiled {
			if each.Error != nil {
				return fmt.Errorf("%s: %s", path, each.Error.Detail)
			}
			times := each.MaxCardinality
			if at.MaxCardinality != nil {
				times = *at.MaxCardinality
			}
			into.Rules = append(into.Rules, rule{path, props.XValidations[i].Rule, product(each.MaxCost, times)})
		}
	}
	for name := range props.Properties {
		child := props.Properties[name]
		if err := addRules(into, &child, at.ChildPropertyContext(&child, name), strings.TrimPrefix(path+"."+name, ".")); err != nil {
			return err
		}
	}
	if props.Items != nil && props.Items.Schema != nil {
		child := props.Items.Schema
		if err := addRules(into, child, at.ChildItemsContext(child), path+"[]"); err != nil {
			return err
		}
	}
	if props.AdditionalProperties != nil && props.AdditionalProperties.Schema != nil {
		child := props.AdditionalProperties.Schema
		return addRules(into, child, at.ChildAdditionalPropertiesContext(child), path+"{}")
	}
	return nil
}

func product(cost, times uint64) uint64 {
	if times != 0 && cost > math.MaxUint64/times {
		return math.MaxUint64
	}
	return cost * times
}

// costOfObject validates an object against the rules of its kind after adding the defaults.
func costOfObject(schemas map[string]*apiextensions.JSONSchemaProps, text []byte) (*object, error) {
	read, err := yaml.YAMLToJSON(text)
	if err != nil {
		return nil, err
	}
	value := map[string]interface{}{}
	// Unlike encoding/json it keeps whole numbers whole, as the API server does.
	if err := utiljson.Unmarshal(read, &value); err != nil {
		return nil, err
	}
	kind, _ := value["kind"].(string)
	props := schemas[kind]
	if props == nil {
		return nil, fmt.Errorf("no definition of the kind %q was given", kind)
	}
	structural, err := schema.NewStructural(props)
	if err != nil {
		return nil, err
	}
	defaulting.Default(value, structural)
	validator := cel.NewValidator(structural, true, celconfig.PerCallLimit)
	started := time.Now()
	errs, left := validator.Validate(
		context.Background(), nil, structural, value, nil, celconfig.RuntimeCELCostBudget)
	return &object{
		Cost:    celconfig.RuntimeCELCostBudget - left,
		Seconds: time.Since(started).Seconds(),
		Refused: messages(errs),
	}, nil
}

func messages(errs field.ErrorList) []string {
	found := []string{}
	for _, each := range errs {
		found = append(found, each.Error())
	}
	return found
}
