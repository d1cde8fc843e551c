//! pgpool-II before a lab.

use super::Place;
use crate::support::Cluster;
use std::fmt::Write as _;
use std::time::Duration;

/// What a pgpool needs besides what the page shows: its ports, its places, the lab's servers, and to notice at once.
pub(crate) fn settings(cluster: &Cluster, place: &Place, port: u16, pcp: u16) -> String {
    let dir = place.dir.display();
    let mut conf = format!(
        "backend_clustering_mode = 'streaming_replication'\nlisten_addresses = '127.0.0.1'\nport = {port}\n\
         socket_dir = '{dir}'\npcp_listen_addresses = '127.0.0.1'\npcp_port = {pcp}\npcp_socket_dir = '{dir}'\n\
         pid_file_name = '{dir}/pgpool.pid'\nlogdir = '{dir}'\npool_passwd = ''\nnum_init_children = 4\n\
         sr_check_period = 1\nsr_check_user = 'postgres'\nsr_check_database = 'postgres'\n\
         health_check_period = 1\nhealth_check_timeout = 5\nhealth_check_user = 'postgres'\n\
         health_check_database = 'postgres'\nhealth_check_max_retries = 1\nhealth_check_retry_delay = 1\n\
         failover_on_backend_error = off\n"
    );
    for (number, node) in ["n1", "n2", "n3"].into_iter().enumerate() {
        let to = cluster.endpoint(node).port;
        let _ = write!(
            conf,
            "backend_hostname{number} = '127.0.0.1'\nbackend_port{number} = {to}\n\
             backend_flag{number} = 'ALLOW_TO_FAILOVER'\nbackend_application_name{number} = '{node}'\n"
        );
    }
    conf
}

/// What pgpool says of its nodes: number, state and role, a line each.
async fn pool_nodes(port: u16) -> Vec<String> {
    let mut config = tokio_postgres::Config::new();
    config.host("127.0.0.1").port(port).user("postgres");
    config
        .dbname("postgres")
        .connect_timeout(Duration::from_secs(5));
    let asking = async {
        let (client, connection) = config.connect(tokio_postgres::NoTls).await?;
        let connection = tokio::spawn(connection);
        let told = client.simple_query("show pool_nodes").await;
        connection.abort();
        told
    };
    let told = tokio::time::timeout(Duration::from_secs(10), asking).await;
    let rows = told.ok().and_then(Result::ok).unwrap_or_default();
    let rows = rows.into_iter().filter_map(|message| {
        let tokio_postgres::SimpleQueryMessage::Row(row) = message else {
            return None;
        };
        let cells = ["node_id", "status", "role"].map(|column| row.get(column).unwrap_or("?"));
        Some(cells.join(" "))
    });
    rows.collect()
}

/// Waits until that is what it says.
pub(crate) async fn until_says(place: &Place, port: u16, wanted: &[String]) {
    let mut nodes = Vec::new();
    for _ in 0..300 {
        nodes = pool_nodes(port).await;
        if nodes == wanted {
            return;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    panic!("pgpool says {nodes:?}, not {wanted:?}\n{}", place.logs());
}
