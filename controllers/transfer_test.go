package controllers

import (
	"context"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
)

// annotatedBy is an entry of managed fields for an annotation that was written so many hours ago.
func annotatedBy(manager, annotation string, hours int) metav1.ManagedFieldsEntry {
	return metav1.ManagedFieldsEntry{
		Manager: manager, Operation: metav1.ManagedFieldsOperationUpdate, APIVersion: v1alpha1.GroupVersion.String(),
		FieldsType: "FieldsV1", Time: new(metav1.NewTime(testNow.Add(-time.Duration(hours) * time.Hour))),
		FieldsV1: metav1.NewFieldsV1(`{"f:metadata":{"f:annotations":{".":{},"f:` + annotation + `":{}}}}`),
	}
}

func TestAWordThatHandsADomainOverCountsForADay(t *testing.T) {
	const word, release = v1alpha1.TransferToAnnotation, v1alpha1.ReleaseAnnotation
	for name, tt := range map[string]struct {
		to      string
		written []metav1.ManagedFieldsEntry
		edit    func(*v1alpha1.MTASTSPublication)
		why     string
	}{
		"said an hour ago":               {to: "new", written: []metav1.ManagedFieldsEntry{annotatedBy("kubectl", word, 1)}},
		"said 23 hours ago":              {to: "new", written: []metav1.ManagedFieldsEntry{annotatedBy("kubectl", word, 23)}},
		"said two days ago":              {to: "new", written: []metav1.ManagedFieldsEntry{annotatedBy("kubectl", word, 48)}, why: "within a day"},
		"said two days ago, and another": {to: "new", written: []metav1.ManagedFieldsEntry{annotatedBy("kubectl", word, 48), annotatedBy("other", release, 1)}, why: "within a day"},
		"said again an hour ago":         {to: "new", written: []metav1.ManagedFieldsEntry{annotatedBy("kubectl", word, 48), annotatedBy("gitops", word, 1)}},
		"said without a trace":           {to: "new"},
		"said by another clock":          {to: "new", written: []metav1.ManagedFieldsEntry{annotatedBy("kubectl", word, -1)}},
		"said in the far future":         {to: "new", written: []metav1.ManagedFieldsEntry{annotatedBy("kubectl", word, -24*365)}, why: "in the future"},
		"said about its own namespace":   {to: "old", written: []metav1.ManagedFieldsEntry{annotatedBy("kubectl", word, 1)}, why: "published from there"},
		"said about the original of a copy": {
			to: "new", written: []metav1.ManagedFieldsEntry{annotatedBy("velero", word, 0)},
			edit: func(p *v1alpha1.MTASTSPublication) { p.Spec.UID = "the original's" }, why: "restored from a copy",
		},
		"said about a publication on its way out": {
			to: "new", written: []metav1.ManagedFieldsEntry{annotatedBy("kubectl", word, 48)},
			edit: func(p *v1alpha1.MTASTSPublication) { p.DeletionTimestamp = new(metav1.NewTime(testNow)) },
		},
		"nothing said": {},
	} {
		t.Run(name, func(t *testing.T) {
			pub := announced("old", "p")
			pub.Spec.UID = string(pub.UID)
			if tt.to != "" {
				pub.Annotations = map[string]string{word: tt.to}
			}
			pub.ManagedFields = tt.written
			if tt.edit != nil {
				tt.edit(&pub)
			}
			pub.Finalizers = []string{"keeps/it"}
			api := fake.NewClientBuilder().WithScheme(NewScheme()).WithObjects(&pub).Build()
			var cached v1alpha1.MTASTSPublication
			if err := api.Get(t.Context(), client.ObjectKeyFromObject(&pub), &cached); err != nil {
				t.Fatal(err)
			}
			live := fieldsReader{api, tt.written}
			recorder := events.NewFakeRecorder(10)
			r := &domainReconciler{client: api, live: live, recorder: recorder}
			r.Clock = clocktesting.NewFakeClock(testNow)
			s := &scope{domain: testDomain, memory: &memory{}}
			s.publication = &cached
			void, err := r.heedTransfer(t.Context(), s)
			if err != nil || void != (tt.why != "") {
				t.Fatalf("void: %v, %v", void, err)
			}
			var after v1alpha1.MTASTSPublication
			if err := api.Get(t.Context(), client.ObjectKeyFromObject(&pub), &after); err != nil {
				t.Fatal(err)
			}
			if _, stays := after.Annotations[word]; stays != (tt.to != "" && tt.why == "") {
				t.Errorf("annotations %v", after.Annotations)
			}
			close(recorder.Events)
			told := ""
			for e := range recorder.Events {
				told += e
			}
			if !strings.Contains(told, tt.why) || (tt.why == "") != (told == "") || (told != "" && !strings.HasPrefix(told, "Warning")) {
				t.Errorf("told %q, want %q", told, tt.why)
			}
			if waits := tt.to != "" && tt.why == "" && pub.DeletionTimestamp.IsZero(); waits != (s.wakeIn > 0) {
				t.Errorf("is made again in %s", s.wakeIn)
			}
		})
	}
}

// fieldsReader is the API server, which knows who wrote what.
type fieldsReader struct {
	client.Client

	written []metav1.ManagedFieldsEntry
}

func (f fieldsReader) Get(ctx context.Context, key client.ObjectKey, o client.Object, options ...client.GetOption) error {
	err := f.Client.Get(ctx, key, o, options...)
	o.SetManagedFields(f.written)
	return err
}
