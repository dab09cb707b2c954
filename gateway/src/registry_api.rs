//! The read side of the Schema Registry API, so that kcat and consoles decode the topics. Its paths, bodies and
//! error codes are Confluent's, so its errors are not this server's problems.
//!
//! Schemas are compiled in and their ids are constants: nothing is ever registered here.

use std::sync::LazyLock;

use axum::Router;
use axum::extract::{Path, Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use kulti_schemas::{RegisteredSchema, SchemaId, schema_by_id, schemas};
use serde_json::{Value, json};

use crate::ingest::{HeldBody, read_body};
use crate::state::AppState;

const MEDIA_TYPE: &str = "application/vnd.schemaregistry.v1+json";

/// An answer of the registry; errors have its codes: 40401, ...
type Answer = Result<RegistryJson, RegistryError>;

struct RegistryJson(Vec<u8>);

struct RegistryError {
    code: u32,
    message: String,
}

impl IntoResponse for RegistryJson {
    fn into_response(self) -> Response {
        ([(CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE))], self.0).into_response()
    }
}

impl IntoResponse for RegistryError {
    fn into_response(self) -> Response {
        // 40401 is 404 with a number of its own behind it.
        let status = u16::try_from(self.code / 100)
            .ok()
            .and_then(|status| StatusCode::from_u16(status).ok());
        let body = json!({ "error_code": self.code, "message": self.message });
        (
            status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
            RegistryJson::of(&body),
        )
            .into_response()
    }
}

impl RegistryJson {
    fn of(value: &Value) -> Self {
        RegistryJson(value.to_string().into_bytes())
    }
}

impl RegistryError {
    fn subject(subject: &str) -> Self {
        RegistryError {
            code: 40401,
            message: format!("Subject '{subject}' not found."),
        }
    }
    fn version(version: &str) -> Self {
        RegistryError {
            code: 40402,
            message: format!("Version {version} not found."),
        }
    }
    fn schema(what: &str) -> Self {
        RegistryError {
            code: 40403,
            message: format!("Schema {what} not found"),
        }
    }
}

/// The routes. They answer every reader: what the schemas are is no secret.
pub(crate) fn registry_router() -> Router<AppState> {
    Router::new()
        .route("/subjects", get(list_subjects))
        .route("/subjects/{subject}", post(look_up_schema))
        .route(
            "/subjects/{subject}/versions",
            get(list_versions).post(register_schema),
        )
        .route("/subjects/{subject}/versions/{version}", get(get_version))
        .route(
            "/subjects/{subject}/versions/{version}/schema",
            get(get_version_text),
        )
        .route("/schemas/types", get(list_types))
        .route("/schemas/ids/{id}", get(get_schema))
        .route("/schemas/ids/{id}/schema", get(get_schema_text))
        .route("/schemas/ids/{id}/subjects", get(list_schema_subjects))
        .route("/schemas/ids/{id}/versions", get(list_schema_versions))
        .route("/config", get(get_config))
        .route("/config/{subject}", get(get_config))
        .route("/mode", get(get_mode))
        .route("/mode/{subject}", get(get_mode))
}

async fn list_subjects(State(state): State<AppState>) -> RegistryJson {
    let mut subjects: Vec<String> = schemas()
        .iter()
        .map(|schema| subject_of(&state, schema))
        .collect();
    subjects.dedup();
    RegistryJson::of(&json!(subjects))
}

async fn list_versions(State(state): State<AppState>, Path(subject): Path<String>) -> Answer {
    let versions: Vec<u32> = versions_of(&state, &subject)?
        .map(|schema| schema.version)
        .collect();
    Ok(RegistryJson::of(&json!(versions)))
}

async fn get_version(
    State(state): State<AppState>,
    Path((subject, version)): Path<(String, String)>,
) -> Answer {
    let schema = find_version(&state, &subject, &version)?;
    Ok(RegistryJson::of(&described(&subject, schema)))
}

async fn get_version_text(
    State(state): State<AppState>,
    Path((subject, version)): Path<(String, String)>,
) -> Answer {
    let schema = find_version(&state, &subject, &version)?;
    Ok(RegistryJson(schema.json.as_bytes().to_vec()))
}

async fn list_types() -> RegistryJson {
    RegistryJson::of(&json!(["AVRO"]))
}

async fn get_schema(Path(id): Path<String>) -> Answer {
    Ok(RegistryJson::of(&json!({ "schema": find_id(&id)?.json })))
}

async fn get_schema_text(Path(id): Path<String>) -> Answer {
    Ok(RegistryJson(find_id(&id)?.json.as_bytes().to_vec()))
}

async fn list_schema_subjects(State(state): State<AppState>, Path(id): Path<String>) -> Answer {
    Ok(RegistryJson::of(&json!([subject_of(&state, find_id(&id)?)])))
}

async fn list_schema_versions(State(state): State<AppState>, Path(id): Path<String>) -> Answer {
    let schema = find_id(&id)?;
    Ok(RegistryJson::of(
        &json!([{ "subject": subject_of(&state, schema), "version": schema.version }]),
    ))
}

/// A new version may be read by old readers and read what old writers wrote, back to the first.
async fn get_config() -> RegistryJson {
    RegistryJson::of(&json!({ "compatibilityLevel": "FULL_TRANSITIVE" }))
}

async fn get_mode() -> RegistryJson {
    RegistryJson::of(&json!({ "mode": "READONLY" }))
}

/// Serialisers ask so for the id of the schema that they hold.
async fn look_up_schema(
    State(state): State<AppState>,
    Path(subject): Path<String>,
    request: Request,
) -> Answer {
    let schema = find_same(&state, &subject, &read_question(&state, request).await?.bytes)?
        .ok_or_else(|| RegistryError::schema("of this text"))?;
    Ok(RegistryJson::of(&described(&subject, schema)))
}

/// Registering what is there already is a look-up; anything else is refused as by a registry in mode READONLY.
async fn register_schema(
    State(state): State<AppState>,
    Path(subject): Path<String>,
    request: Request,
) -> Answer {
    let question = read_question(&state, request).await?;
    let known = match versions_of(&state, &subject) {
        Ok(_) => find_same(&state, &subject, &question.bytes)?,
        Err(_) => None,
    };
    match known {
        Some(schema) => Ok(RegistryJson::of(&json!({ "id": schema.id.0 }))),
        None => Err(RegistryError {
            code: 42205,
            message: format!("Subject {subject} is in read-only mode"),
        }),
    }
}

async fn read_question(state: &AppState, request: Request) -> Result<HeldBody, RegistryError> {
    let (parts, body) = request.into_parts();
    read_body(state, &parts.headers, body)
        .await
        .map_err(|problem| RegistryError {
            code: u32::from(problem.code.status().as_u16()) * 100 + 1,
            message: problem.detail,
        })
}

fn subject_of(state: &AppState, schema: &RegisteredSchema) -> String {
    format!("{}-{}", state.session_topic, schema.record)
}

/// The versions of a subject, oldest first; there is at least one.
fn versions_of(
    state: &AppState,
    subject: &str,
) -> Result<impl DoubleEndedIterator<Item = &'static RegisteredSchema> + use<>, RegistryError> {
    let record = subject
        .strip_prefix(state.session_topic.as_str())
        .and_then(|rest| rest.strip_prefix('-'));
    let found: Vec<&'static RegisteredSchema> = schemas()
        .iter()
        .filter(|schema| Some(schema.record) == record)
        .collect();
    if found.is_empty() {
        Err(RegistryError::subject(subject))
    } else {
        Ok(found.into_iter())
    }
}

fn find_version(
    state: &AppState,
    subject: &str,
    version: &str,
) -> Result<&'static RegisteredSchema, RegistryError> {
    let mut versions = versions_of(state, subject)?;
    if version == "latest" || version == "-1" {
        return versions
            .next_back()
            .ok_or_else(|| RegistryError::version(version));
    }
    let number: u32 = version.parse().map_err(|_| RegistryError {
        code: 42202,
        message: format!("The specified version '{version}' is not a valid version id."),
    })?;
    versions
        .find(|schema| schema.version == number)
        .ok_or_else(|| RegistryError::version(version))
}

fn find_id(id: &str) -> Result<&'static RegisteredSchema, RegistryError> {
    let number: Option<u32> = id.parse().ok();
    number
        .and_then(|number| schema_by_id(SchemaId(number)))
        .ok_or_else(|| RegistryError::schema(id))
}

fn described(subject: &str, schema: &RegisteredSchema) -> Value {
    json!({ "subject": subject, "version": schema.version, "id": schema.id.0, "schema": schema.json })
}

/// The version whose text means the same: white space and the order of members do not matter.
fn find_same(
    state: &AppState,
    subject: &str,
    body: &[u8],
) -> Result<Option<&'static RegisteredSchema>, RegistryError> {
    static PARSED: LazyLock<Vec<(SchemaId, Value)>> = LazyLock::new(|| {
        let parse = |schema: &RegisteredSchema| Some((schema.id, serde_json::from_str(schema.json).ok()?));
        schemas().iter().filter_map(parse).collect()
    });
    let invalid = || RegistryError {
        code: 42201,
        message: "Invalid schema".to_owned(),
    };
    let request: Value = serde_json::from_slice(body).map_err(|_| invalid())?;
    let asked = request
        .get("schema")
        .and_then(Value::as_str)
        .ok_or_else(invalid)?;
    let asked: Value = serde_json::from_str(asked).map_err(|_| invalid())?;
    let is_same = |schema: &&RegisteredSchema| {
        PARSED
            .iter()
            .any(|(id, value)| *id == schema.id && *value == asked)
    };
    Ok(versions_of(state, subject)?.find(is_same))
}
